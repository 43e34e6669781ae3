"""The checks of notebook 06: right answers pass, typical mistakes are named."""

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parent.parent / "notebooks"))
from checks import transformer as check  # noqa: E402

from minisora.dit import modulate  # noqa: E402


def branch_of(x, f, shift, scale, gate):
    return x + gate * f(modulate(x, shift, scale))


RIGHT = {
    check.attention: lambda q, k, v: F.scaled_dot_product_attention(q, k, v),
    check.shift_and_scale: modulate,
    check.gated: branch_of,
}
WRONG = [
    (check.attention, lambda q, k, v: (q @ k.T).softmax(-1) @ v, "divide the logits by √d"),
    (check.attention, lambda q, k, v: (q @ k.T / q.shape[1]).softmax(-1) @ v, "square root"),
    (check.attention, lambda q, k, v: (q @ k.T / q.shape[1] ** 0.5).softmax(-1), "the weights"),
    (check.attention, lambda q, k, v: (q @ k.T / q.shape[1] ** 0.5).softmax(0) @ v, "wrong axis"),
    (check.attention, lambda q, k, v: q @ k.T / q.shape[1] ** 0.5 @ v, "softmax is missing"),
    (check.attention, lambda q, k, v: None, "return"),
    (check.shift_and_scale, lambda x, a, b: F.layer_norm(x, (8,)) * b + a, "(1 + scale)"),
    (check.shift_and_scale, lambda x, a, b: x * (1 + b) + a, "normalise first"),
    (check.shift_and_scale, lambda x, a, b: modulate(x, b, a), "swapped"),
    (
        check.shift_and_scale,
        lambda x, a, b: (x - x.mean(0)) / x.std(0, unbiased=False) * (1 + b) + a,
        "each TOKEN",
    ),
    (check.gated, lambda x, f, a, b, g: g * f(modulate(x, a, b)), "x + …"),
    (check.gated, lambda x, f, a, b, g: x + g * f(x), "modulated"),
    (check.attention, lambda q, k, v: (q @ k.T / 2).softmax(-1) @ v, "d taken from q's shape"),
    (check.shift_and_scale, lambda x, a, b: (F.layer_norm(x, (8,)) + a) * (1 + b), "scale first"),
    (
        check.shift_and_scale,
        lambda x, a, b: (x - x.mean(1, True)) / x.std(1, keepdim=True) * (1 + b) + a,
        "n − 1",
    ),
    (check.gated, lambda x, f, a, b, g: x + (1 + g) * f(modulate(x, a, b)), "not 1 + gate"),
    (check.gated, lambda x, f, a, b, g: x + g * f(modulate(x, 0, 0)), "not used"),
    (check.gated, lambda x, f, a, b, g: x + g * f(x * (1 + b) + a), "normalise before"),
    (check.gated, lambda x, f, a, b, g: x.add_(g * f(modulate(x, b, a))), "open gate"),
    (
        check.gated,
        lambda x, f, a, b, g: modulate(x, a, b) + g * f(modulate(x, a, b)),
        "add to x itself",
    ),
    (check.gated, lambda x, f, a, b, g: x + f(g * modulate(x, a, b)), "comes OUT"),
]


@pytest.mark.parametrize("exercise", RIGHT, ids=lambda e: e.__name__)
def test_right_answers_pass(exercise, capsys):
    assert exercise(RIGHT[exercise]) is True, capsys.readouterr().out


@pytest.mark.parametrize(("exercise", "attempt", "told"), WRONG)
def test_mistakes_are_named(exercise, attempt, told, capsys):
    assert exercise(attempt) is False
    assert told in capsys.readouterr().out


def test_the_package_agrees_with_the_checks():
    x = torch.randn(2, 3, 4, 8)
    torch.testing.assert_close(modulate(x, 0, 0), F.layer_norm(x, (8,)))
