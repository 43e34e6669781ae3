"""The checks of notebook 04: right answers pass, typical mistakes are named."""

import random
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from minisora import text

sys.path.insert(0, str(Path(__file__).parent.parent / "notebooks"))
from checks import words as check  # noqa: E402


def spell(rest):
    return [text.BYTES + byte for byte in rest.encode()]


def cut(word, numbers, ends, rest=spell):
    """Cut a word at the first known of some ends."""
    for end in ends(len(word)):
        if word[:end] in numbers:
            return [numbers[word[:end]], *rest(word[end:])]
    return [numbers[word]] if word in numbers else spell(word)


def pieces(word, numbers):
    return cut(word, numbers, lambda n: range(n, 2, -1))


def greedy(word, numbers):
    return cut(word, numbers, lambda n: range(n, 2, -1), lambda rest: greedy(rest, numbers))


def mean(x, mask):
    return (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def attend(x, mask):
    return F.scaled_dot_product_attention(x, x, x, attn_mask=mask[:, None])


def by_hand(x, mask, scale=0.5, fill=-torch.inf, axis=-1):
    scores = (scale * x @ x.mT).masked_fill(~mask[:, None], fill)
    return scores.softmax(axis) @ x


def drop(captions, share, rng):
    return [None if rng.random() < share else caption for caption in captions]


RIGHT = {
    check.pieces: pieces,
    check.mean_of_words: mean,
    check.attend: attend,
    check.drop_captions: drop,
}
WRONG = [
    (check.pieces, lambda w, n: n.get(w) or spell(w), "still a list"),
    (check.pieces, lambda w, n: [n[w]] if w in n else list(w.encode()), "PAD and NULL"),
    (check.pieces, lambda w, n: [n[w]] if w in n else [2 + ord(c) for c in w], "UTF-8"),
    (check.pieces, lambda w, n: [n[w]] if w in n else spell(w), "then spell"),
    (check.pieces, lambda w, n: cut(w, n, lambda k: range(3, k + 1)), "longest"),
    (check.pieces, lambda w, n: cut(w, n, lambda k: range(k, 0, -1)), "two letters"),
    (check.pieces, greedy, "known or not"),
    (check.pieces, lambda w, n: spell(w) if len(w) < 3 else pieces(w, n), "is short"),
    (check.mean_of_words, lambda x, m: x.mean(1), "plain mean"),
    (check.mean_of_words, lambda x, m: (x * m[..., None]).mean(1), "still counted"),
    (check.mean_of_words, lambda x, m: (x * m[..., None]).sum(1), "the sum"),
    (check.mean_of_words, lambda x, m: mean(x, m) * m.sum(1, True) / m.sum(), "whole batch"),
    (check.mean_of_words, lambda x, m: (x * m[..., None]).mean(2), "over the features"),
    (check.mean_of_words, lambda x, m: x[m].mean(0), "too few"),
    (check.mean_of_words, lambda x, m: x * m, "RuntimeError"),
    (check.attend, lambda x, m: by_hand(x, ~m), "~mask"),
    (check.attend, lambda x, m: by_hand(x, m, 1.0), "√d"),
    (check.attend, lambda x, m: by_hand(x, m, 0.25), "square root"),
    (check.attend, lambda x, m: by_hand(x, m | True), "still looked at"),
    (check.attend, lambda x, m: by_hand(x, m, fill=0.0), "exp(0)"),
    (check.attend, lambda x, m: (x @ x.mT / 2).softmax(-1) * m[:, None] @ x, "no longer add up"),
    (
        check.attend,
        lambda x, m: (x @ x.mT / 2).masked_fill(~m[..., None], -torch.inf).softmax(1) @ x,
        "wrong axis",
    ),
    (
        check.attend,
        lambda x, m: (x @ x.mT / 2).masked_fill(~m[..., None], -torch.inf).softmax(-1) @ x,
        "queries",
    ),
    (check.drop_captions, lambda c, s, r: [t for t in c if r.random() > s], "keeps its place"),
    (check.drop_captions, lambda c, s, r: ["" if r.random() < s else t for t in c], "empty text"),
    (check.drop_captions, lambda c, s, r: [None] * len(c) if r.random() < s else c, "all or none"),
    (check.drop_captions, lambda c, s, r: drop(c, 1 - s, r), "keep that share"),
    (check.drop_captions, lambda c, s, r: drop(c, s, random), "same seed"),
    (
        check.drop_captions,
        lambda c, s, r: [t if r.random() > s else t.replace("caption", "") for t in c],
        "stay as it was",
    ),
]


@pytest.mark.parametrize("name", [c.__name__ for c in RIGHT])
def test_a_right_answer_passes(name, capsys):
    checker = getattr(check, name)
    assert checker(RIGHT[checker]) is True, capsys.readouterr().out


def test_the_package_passes_too(capsys):
    for word in ("red", "reddish", "daylights", "anteater", "grün", "dog"):
        assert pieces(word, text.WORDS) == text.pieces(word)


@pytest.mark.parametrize(("checker", "attempt", "words"), WRONG)
def test_a_typical_mistake_is_named(checker, attempt, words, capsys):
    assert checker(attempt) is False
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("name", [c.__name__ for c in RIGHT])
def test_a_missing_return_is_told(name, capsys):
    assert getattr(check, name)(lambda *inputs: None) is False
    assert "return" in capsys.readouterr().out
