"""Checks of notebook 04: pieces of words, a mean with a mask, attention, dropped captions."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor

from checks import exercise, same
from minisora.text import BYTES


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _bytes(rest: str) -> list[int]:
    return [BYTES + byte for byte in rest.encode()]


def _unlike(got: Tensor, mistakes: dict[str, Tensor]) -> None:
    """Fail with the explanation of the first mistake that the answer agrees with."""
    for why, wrong in mistakes.items():
        alike = wrong.shape == got.shape and torch.allclose(got, wrong, atol=1e-4)
        assert not alike, why


@exercise("every word has a token or two, and no text is refused")
def pieces(attempt: Callable) -> None:
    """A word's token, or its longest known beginning of three letters or more, and bytes."""
    numbers = {w: 900 + i for i, w in enumerate(("a", "an", "day", "daylight", "red", "sphere"))}
    red, daylight = numbers["red"], numbers["daylight"]
    got = attempt("red", numbers)
    assert got is not None, "pieces returned None; is there a `return`?"
    assert got != red, "a known word is one token, but still a list of tokens: [number]"
    assert got == [red], f"'red' is known: expected [{red}], got {got}"
    assert attempt("a", numbers) == [numbers["a"]], "'a' is short, but it is known: one token"
    dog = attempt("dog", numbers)
    assert dog != list(b"dog"), "a byte is token BYTES + byte: 0 and 1 are taken by PAD and NULL"
    assert dog == _bytes("dog"), f"'dog' is unknown: expected {_bytes('dog')}, got {dog}"
    got = attempt("grün", numbers)
    assert len(got) == 5, f"'grün' is 5 bytes in UTF-8, not {len(got)}: use word.encode()"
    assert got == _bytes("grün"), "take the bytes of word.encode(), not ord() of each letter"
    got = attempt("reddish", numbers)
    assert got != _bytes("reddish"), "'reddish' begins with a known word, 'red': say so, then spell"
    assert got == [red, *_bytes("dish")], f"'reddish' is 'red' and the bytes of 'dish', not {got}"
    got = attempt("daylights", numbers)
    assert got[0] != numbers["day"], "'daylights' begins with 'day', but 'daylight' is the longest"
    assert got == [daylight, *_bytes("s")], f"'daylights' is 'daylight' and an s, not {got}"
    got = attempt("anteater", numbers)
    assert got[0] not in (numbers["an"], numbers["a"]), (
        "'anteater' begins with 'an', but two letters mean nothing: ask for three or more"
    )
    assert got == _bytes("anteater"), f"'anteater' has no known beginning: bytes, not {got}"
    got = attempt("redred", numbers)
    assert got == [red, *_bytes("red")], "after the known beginning the rest is bytes, known or not"


@exercise("the mean of the words, whatever stands behind them")
def mean_of_words(attempt: Callable) -> None:
    """The mean of vectors `b n d` where a mask `b n` is True: `b d`."""
    x = _normal(3, 5, 4)
    mask = torch.arange(5) < torch.tensor([[5], [3], [1]])
    kept = x * mask[..., None]
    want = kept.sum(1) / mask.sum(1, keepdim=True)
    got = attempt(x, mask)
    assert got is not None, "mean_of_words returned None; is there a `return`?"
    mistakes = {
        "that is the plain mean: the vectors at PAD count as well": x.mean(1),
        "PAD adds nothing, but it is still counted: divide by the number of words, not by n": (
            kept.mean(1)
        ),
        "that is the sum: divide it by the number of words": kept.sum(1),
        "you divide by the words of the whole batch: each caption has its own number of words": (
            kept.sum(1) / mask.sum()
        ),
        "you average over the features, not over the words: the words are axis 1": kept.mean(2),
        "one vector for the whole batch is too few: each caption keeps its own": x[mask].mean(0),
    }
    _unlike(got, mistakes)
    same(got, want, "the mean of the words")


@exercise("each word sees every word, and nobody sees PAD")
def attend(attempt: Callable) -> None:
    """Self-attention of vectors `b n d` among themselves, keys masked by `b n`."""
    x = _normal(2, 5, 4)
    mask = torch.arange(5) < torch.tensor([[5], [3]])
    scores = x @ x.mT / 2  # √4
    shut = scores.masked_fill(~mask[:, None], -torch.inf)
    got = attempt(x, mask)
    assert got is not None, "attend returned None; is there a `return`?"
    assert got.shape == x.shape, f"expected the shape {tuple(x.shape)}, got {tuple(got.shape)}"
    upside = scores[0].softmax(0) @ x[0]
    assert got[0].isnan().any() or (got[0] - upside).abs().max() > 1e-4, (
        "the softmax runs over the wrong axis: each query's weights (last axis) add up to 1"
    )
    assert not got[0].isnan().any(), (
        "NaN even without padding: the mask is True at words, so fill where it is not, ~mask"
    )
    hard = (2 * shut).softmax(-1) @ x
    mistakes = {
        "the scores are not divided by √d: the softmax is too sure of itself": hard,
        "you divide by d, not by its square root": (shut / 2).softmax(-1) @ x,
        "the mask has no effect: PAD is still looked at": scores.softmax(-1) @ x,
        "a score of 0 is no weight of 0, since exp(0) = 1: fill with −infinity": (
            (scores * mask[:, None]).softmax(-1) @ x
        ),
        "cut out after the softmax, the weights no longer add up to 1: mask before it": (
            (scores.softmax(-1) * mask[:, None]) @ x
        ),
    }
    _unlike(got, {why: wrong for why, wrong in mistakes.items() if not wrong.isnan().any()})
    assert not got[1].isnan().any(), (
        "NaN where there is padding: you shut out the queries (rows) at PAD, so they have nothing "
        "left to look at; shut the keys: mask[:, None, :]"
    )
    want = shut.softmax(-1) @ x
    same(got * mask[..., None], want * mask[..., None], "what the words see")


@exercise("now and then the model trains without being told anything")
def drop_captions(attempt: Callable) -> None:
    """Replace a share of captions by None."""
    captions = [f"caption {i}" for i in range(4000)]
    before = list(captions)
    got = attempt(captions, 0.1, random.Random(0))
    assert got is not None, "drop_captions returned None; is there a `return`?"
    assert captions == before, "you changed the list that came in: return a new one"
    assert len(got) == 4000, (
        f"{len(got)} of 4000 captions came back: a dropped caption becomes None and keeps its "
        "place, or every later video gets another one's caption"
    )
    assert "" not in got, "an empty text is not the null caption (it is an error): use None"
    pairs = zip(got, captions, strict=True)
    assert all(a is None or a == b for a, b in pairs), "what is kept should stay as it was"
    count = got.count(None)
    assert count not in (0, 4000), "all or none: draw a new number for each caption"
    assert count < 2000, f"{count} of 4000 dropped at a share of 0.1: you keep that share instead"
    assert 320 < count < 480, f"{count} of 4000 dropped: at a share of 0.1 about 400 are expected"
    again = attempt(captions, 0.1, random.Random(0))
    assert got == again, "draw from `rng`, so that the same seed drops the same captions"
    assert attempt(captions, 0.0, random.Random(0)) == captions, "a share of 0 drops nothing"
