"""The checks of notebook 02: right answers pass, typical mistakes are named."""

import sys
from pathlib import Path

import pytest
import torch
from torch.nn.functional import conv1d, pad

sys.path.insert(0, str(Path(__file__).parent.parent / "notebooks"))
from checks import compression as check  # noqa: E402
from checks.video import bits  # noqa: E402


def svd(rows):
    return torch.linalg.svd(rows, full_matrices=False).Vh


def price(q):
    return sum(bits(channel.numpy()) for channel in q.unbind(1)) * q.shape[2] / 8


def keep(rows, k):
    mean = rows.mean(0)
    basis = svd(rows - mean)[:k]
    return (rows - mean) @ basis.T @ basis + mean


RIGHT = {
    check.keep: keep,
    check.draw: lambda m, s, e: m + (0.5 * s).exp() * e,
    check.causal_conv: lambda x, w: conv1d(pad(x, (w.shape[-1] - 1, 0)), w),
    check.price: price,
}
WRONG = [
    (check.keep, lambda r, k: r @ svd(r)[:k].T @ svd(r)[:k], "subtracted the mean"),
    (check.keep, lambda r, k: keep(r, k) - r.mean(0), "mean back"),
    (check.keep, lambda r, k: (r - r.mean(0)) @ svd(r - r.mean(0))[:k].T, "the k numbers"),
    (
        check.keep,
        lambda r, k: (
            (r - r.mean(0)) @ svd(r - r.mean(0))[:, :k] @ svd(r - r.mean(0))[:, :k].T + r.mean(0)
        ),
        "each ROW",
    ),
    (check.draw, lambda m, s, e: m + s.exp() * e, "square root"),
    (check.draw, lambda m, s, e: m + s * e, "undo it"),
    (check.draw, lambda m, s, e: (0.5 * s).exp() * e, "mean is missing"),
    (check.draw, lambda m, s, e: m + (0.5 * s).exp() * torch.randn_like(e), "differ"),
    (check.causal_conv, lambda x, w: conv1d(x, w), "moments are lost"),
    (check.causal_conv, lambda x, w: conv1d(x, w, padding=1), "looks ahead"),
    (check.causal_conv, lambda x, w: conv1d(x, w, padding=2), "both ends"),
    (check.causal_conv, lambda x, w: conv1d(pad(x, (2, 0)), w), "five"),
    (check.causal_conv, lambda x, w: conv1d(pad(x, (w.shape[-1] - 1, 0)), w.flip(-1)), "turned"),
    (check.price, lambda q: 8 * price(q), "eight"),
    (check.price, lambda q: len(q) * price(q), "for one"),
    (check.price, lambda q: price(q) / q.shape[2], "one number"),
    (check.price, lambda q: price(q) / q.shape[1], "instead of averaging"),
    (check.price, lambda q: bits(q.numpy()) * q[0].numel() / 8, "its own"),
]


@pytest.mark.parametrize("name", [c.__name__ for c in RIGHT])
def test_a_right_answer_passes(name, capsys):
    checker = getattr(check, name)
    assert checker(RIGHT[checker]) is True, capsys.readouterr().out


@pytest.mark.parametrize(("checker", "attempt", "words"), WRONG)
def test_a_typical_mistake_is_named(checker, attempt, words, capsys):
    assert checker(attempt) is False
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("name", [c.__name__ for c in RIGHT])
def test_a_missing_return_is_told(name, capsys):
    assert getattr(check, name)(lambda *inputs: None) is False
    assert "return" in capsys.readouterr().out
