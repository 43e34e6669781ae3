"""Checks of notebook 10: the likeliest word, the likeliest sentence, a thesaurus."""

from __future__ import annotations

import math

from checks import exercise

TORN = {  # the likelier second word does not begin the likelier sentence
    "": {"a": 1.0},
    "a": {"red": 0.6, "green": 0.4},
    "red": {"ball": 0.4, "cone": 0.35, "cube": 0.25},
    "green": {"cube": 0.9, "ball": 0.1},
    "ball": {".": 0.5, "rolls": 0.5},
    "cone": {".": 1.0},
    "cube": {".": 0.9, "slides": 0.1},
    "rolls": {".": 1.0},
    "slides": {".": 1.0},
}
SHORT = {"": {"snow": 0.7, "sand": 0.3}, "snow": {".": 0.6, "snow": 0.4}, "sand": {".": 1.0}}


def sentence(got, what: str) -> tuple[list[str], float]:
    """Return what an attempt gave as words and a probability, or say what it should be."""
    assert got is not None, f"{what} returned None; is there a `return`?"
    assert isinstance(got, tuple) and len(got) == 2, "return two things: the words, the probability"
    words, p = got
    assert not isinstance(words, str), "the words as a list, not as one text"
    words = list(words)
    assert "." not in words, "leave the full stop out of the words (but not out of the product)"
    assert "" not in words, "leave the beginning, '', out of the words"
    return words, float(p)


@exercise("word after word, each the likeliest, and how likely that was in all")
def greedy(attempt) -> None:
    """The likeliest word, again and again."""
    words, p = sentence(attempt(SHORT), "greedy")
    assert words == ["snow"], f"after '' comes 'snow' (0.7), then '.' (0.6): got {words}"
    assert not math.isclose(p, 0.7), "0.7 · 0.6: the full stop has a probability too"
    assert not math.isclose(p, 1.3), "multiply the probabilities, do not add them"
    assert math.isclose(p, 0.42), f"0.7 · 0.6 = 0.42, not {p:.3f}"
    words, p = sentence(attempt(TORN), "greedy")
    right = words[:3] == ["a", "red", "ball"]
    assert right, f"a (1.0), red (0.6), ball (0.4) are the likeliest words, got {words}"
    assert math.isclose(p, 0.12), f"0.6 · 0.4 · 0.5 = 0.12, not {p:.3f}"


@exercise("the best sentence does not always begin with the best word")
def likeliest(attempt) -> None:
    """The likeliest sentence of all."""
    words, p = sentence(attempt({k: v for k, v in SHORT.items() if k != "snow"} | {
        "snow": {".": 0.4, "sand": 0.6}
    }), "likeliest")  # fmt: skip
    assert words != ["snow"] or not math.isclose(p, 0.28), (
        "0.28 for 'snow', but 'snow sand' has 0.7 · 0.6 = 0.42: longer can be likelier"
    )
    assert words == ["snow", "sand"], f"'snow sand' is the likeliest (0.42), got {words}"
    words, p = sentence(attempt(TORN), "likeliest")
    assert words[:2] != ["a", "red"], (
        "red is the likelier second word, but look at what can follow it: none of its sentences "
        "has more than 0.6 · 0.35 = 0.21"
    )
    assert words == ["a", "green", "cube"], f"a green cube: 0.4 · 0.9 · 0.9 = 0.324, got {words}"
    assert math.isclose(p, 0.324), f"0.4 · 0.9 · 0.9 = 0.324, not {p:.3f}"


@exercise("their words in, our words out, the longest phrases first")
def translate(attempt) -> None:
    """What the known phrases of a prompt mean."""
    words = {"fire": "orange", "fire engine red": "red", "red": "red", "ball": "sphere"}
    words |= {"beach": "sand", "beach ball": "sphere", "at dusk": "sunset", "hopping": "bounces"}
    words["in broad day light"] = "day"
    got = attempt("red ball", words)
    assert got is not None, "translate returned None; is there a `return`?"
    assert not isinstance(got, str), "return a list of meanings, not one text"
    assert list(got) == ["red", "sphere"], f"'red ball' is red, sphere; got {list(got)}"
    for prompt, wanted, why in (
        ("the ball is red", ["sphere", "red"], "words that it does not know are left out"),
        ("Red Ball", ["red", "sphere"], "capitals do not matter: lower() first"),
        ("ball at dusk", ["sphere", "sunset"], "phrases may have several words"),
        ("a fire engine red ball", ["red", "sphere"], "the longest phrase first: no fire, one red"),
        ("a beach ball hopping", ["sphere", "bounces"], "a beach ball is no beach"),
        ("hopping on the beach", ["bounces", "sand"], "'beach' alone still is sand"),
        ("ball in broad day light", ["sphere", "day"], "four words can be a phrase"),
        ("fireball", [], "'fireball' is one unknown word: compare words, not letters"),
        ("ball ball", ["sphere", "sphere"], "what is said twice is there twice"),
        ("fire", ["orange"], "mind the end of the prompt"),
    ):
        got = list(attempt(prompt, words))
        assert got == wanted, f"{why}: {prompt!r} gives {wanted}, got {got}"
