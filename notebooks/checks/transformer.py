"""Checks of notebook 06: attention, modulation, a gated branch."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from checks import exercise, same


def _normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@exercise("every query has looked at all keys, and taken home what they carry")
def attention(attempt) -> None:
    """Queries `n d`, keys `m d` and values `m c` to `n c`."""
    q, k, v = 2 * _normal(3, 4), _normal(5, 4, seed=1), _normal(5, 2, seed=2)
    got, logits = attempt(q, k, v), q @ k.T
    assert got is not None, "attention returned None; is there a `return`?"
    assert got.shape != (3, 5), "those are the weights (3 × 5): now let them mix the values"
    assert got.shape == (3, 2), f"3 queries, values of 2 numbers: (3, 2), not {tuple(got.shape)}"

    def close(wrong: torch.Tensor) -> bool:
        return float((got - wrong).abs().max()) < 1e-4

    assert not close(logits.softmax(-1) @ v), "divide the logits by √d, d numbers in a query"
    assert not close((logits / 4).softmax(-1) @ v), "divide by the square root of d, not by d"
    assert not close((logits / 2**0.5).softmax(-1) @ v), (
        "√2 was right for the queries of 2 numbers above: take d from q's shape"
    )
    assert not close(logits.softmax(0) @ v), "two things: the softmax's axis, and √d"
    assert not close((logits / 2).softmax(0) @ v), (
        "the softmax runs over the wrong axis: the weights of each QUERY (a row) sum to 1"
    )
    assert not close(logits / 2 @ v), "the softmax is missing: weights are positive, sum 1"
    same(got, F.scaled_dot_product_attention(q, k, v), "three queries, five keys")
    few = q[:, :2], k[:, :2], v
    hint = "queries of 2 numbers: is d taken from q's shape?"
    same(attempt(*few), F.scaled_dot_product_attention(*few), hint)
    alone = attempt(q[:, :2], k[:1, :2], v[:1])
    same(alone, v[:1].expand(3, -1), "with one key only there is nothing to choose")


@exercise("every token on the same footing, then steered")
def shift_and_scale(attempt) -> None:
    """Tokens `s d`, shift and scale `d`: normalise each token, then scale and shift."""
    x, shift, scale = 3 * _normal(4, 8) + 5, _normal(8, seed=1), _normal(8, seed=2)
    got, normal = attempt(x.clone(), shift, scale), F.layer_norm(x, (8,))
    assert got is not None, "shift_and_scale returned None; is there a `return`?"
    assert got.shape == x.shape, f"the shape stays (4, 8), yours is {tuple(got.shape)}"

    def close(wrong: torch.Tensor) -> bool:
        return float((got - wrong).abs().max()) < 1e-3

    assert not close(normal * scale + shift), (
        "multiply by (1 + scale): with scale 0 nothing may change, or zero weights would "
        "switch everything off"
    )
    assert not close(x * (1 + scale) + shift), (
        "normalise first: mean 0 and variance 1 in each token"
    )
    assert not close(normal * (1 + shift) + scale), "shift and scale are swapped"
    assert not close((normal + shift) * (1 + scale)), "scale first, then shift"
    bessel = (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)
    assert not close(bessel * (1 + scale) + shift), (
        "std and var divide by n − 1; a layer norm divides by n: unbiased=False"
    )
    columns = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()
    assert not close(columns * (1 + scale) + shift), (
        "you normalised each feature over the tokens; a layer norm takes each TOKEN by itself"
    )
    variance = x.var(-1, keepdim=True, unbiased=False)
    wrong = (x - x.mean(-1, keepdim=True)) / (variance + 1e-5)
    assert not close(wrong * (1 + scale) + shift), "divide by the square root of the variance"
    same(got, normal * (1 + scale) + shift, "four tokens of eight numbers", 2e-2)


@exercise("a closed gate changes nothing, an open one adds what the branch has found")
def gated(attempt) -> None:
    """x `s d`, a branch to call, and shift, scale, gate `d`: x + gate · branch(modulated x)."""
    x, (shift, scale, gate) = _normal(4, 8), _normal(3, 8, seed=1)

    def branch(y: torch.Tensor) -> torch.Tensor:
        return y.square()

    shut = attempt(x.clone(), branch, shift, scale, torch.zeros(8))
    assert shut is not None, "gated returned None; is there a `return`?"
    assert float(shut.abs().max()) > 0, "with a gate of 0 the tokens must pass: where is `x + …`?"
    got, normal = attempt(x.clone(), branch, shift, scale, gate), F.layer_norm(x, (8,))
    inside = normal * (1 + scale) + shift

    def close(wrong: torch.Tensor) -> bool:
        return float((got - wrong).abs().max()) < 1e-3

    assert not close(x + gate * branch(x)), "the branch should see the modulated tokens, not x"
    assert not close(x + gate * branch(normal)), "shift and scale are not used"
    assert not close(x + gate * branch(x * (1 + scale) + shift)), "normalise before you scale"
    assert not close(x + gate * branch(normal * scale + shift)), "scale by 1 + scale"
    assert not close((1 - gate) * x + gate * branch(inside)), "all of x passes, not 1 − gate of it"
    assert not close(x + (1 + gate) * branch(inside)), "the gate multiplies as it is, not 1 + gate"
    assert not close(inside + gate * branch(inside)), (
        "add to x itself: what is normalised would lose the token's own size at every block"
    )
    assert not close(x + branch(gate * inside)), "the gate goes on what comes OUT of the branch"
    same(shut, x, "with a gate of 0 nothing may change")
    same(got, x + gate * branch(inside), "an open gate", 1e-3)
