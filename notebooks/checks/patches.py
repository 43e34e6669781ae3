"""Checks for notebook 03: cutting, counting, turning."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from einops import rearrange

from checks import exercise, same
from minisora.patches import grid_of, patchify, rotate

ORDERS = {  # what students write instead of "(t h w) (pt ph pw c)", and what it means
    "(t w h) (pt ph pw c)": "the patches run down the columns first: loop over rows outside, "
    "columns inside",
    "(h w t) (pt ph pw c)": "the patches run through time first: the loop over time is the "
    "outermost",
    "(t h w) (c pt ph pw)": "within a token the channels come first: they should change fastest; "
    "permute the block to pt ph pw c before you flatten it",
    "(t h w) (pt pw ph c)": "within a token rows and columns are swapped: rows change slower than "
    "columns",
    "(t h w) (ph pw pt c)": "within a token time changes faster than space: it should be slowest",
}


PLAIN = (
    "a plain reshape takes the numbers as they lie, along whole rows; a patch is a box of them: "
    "slice it out of z first"
)
STRIDE = "step by the patch's size, range(0, h, ph), so that patches lie side by side"


@exercise("right: every number is in its place, in the order of the package")
def cut(attempt) -> None:
    toy = torch.arange(16.0).reshape(1, 1, 4, 4)
    same_tokens(tried(attempt, toy, (1, 2, 2), what="the toy"), toy, (1, 2, 2), "the toy")
    box = torch.arange(3.0 * 4 * 6 * 6).reshape(3, 4, 6, 6)  # sizes that no swap survives
    what = "a box of 3 channels and 4 frames"
    same_tokens(tried(attempt, box, (2, 2, 3), what=what), box, (2, 2, 3), what)


def tried(attempt, *given, what: str):
    """Return what the student's function makes of `given`, or say why it may have stopped."""
    try:
        return attempt(*given)
    except NotImplementedError:
        raise
    except (RuntimeError, ValueError, IndexError) as error:
        if "equal size" in str(error):  # torch.stack of pieces cut off at the edge
            raise AssertionError(f"{what}: pieces at the edge come out smaller: {STRIDE}") from None
        raise AssertionError(
            f"{what}: it stopped with {type(error).__name__}: {error}. Is a size written into your "
            "function? Read all sizes from what it is given"
        ) from None


def same_tokens(got, z, patch: tuple, what: str) -> None:
    """Assert that tokens `n p` are those of latents `c t h w`, and name the usual mistakes."""
    assert not isinstance(got, (list, tuple)), (
        f"{what}: your function returned a {type(got).__name__}; torch.stack makes one tensor of it"
    )
    want = patchify(z[None], patch)[0]
    if isinstance(got, torch.Tensor) and got.shape == want.shape:
        for wrong, meaning in mistakes(z, patch):
            if not torch.equal(wrong, want):
                assert not torch.equal(got.to(wrong.dtype), wrong), f"{what}: {meaning}"
    elif isinstance(got, torch.Tensor) and len(got) > len(want):
        raise AssertionError(f"{what}: {len(got)} tokens instead of {len(want)}: {STRIDE}")
    same(got, want, what)


def mistakes(z, patch: tuple):
    """Yield tokens as students often get them, each with what is wrong."""
    sizes = dict(zip(("pt", "ph", "pw"), patch, strict=True))
    for order, meaning in ORDERS.items():
        yield rearrange(z, f"c (t pt) (h ph) (w pw) -> {order}", **sizes), meaning
    numbers = math.prod(patch) * len(z)
    yield z.reshape(-1, numbers), PLAIN
    yield z.permute(1, 2, 3, 0).reshape(-1, numbers), PLAIN
    starts = itertools.product(*map(range, grid_of(z.shape, patch)))  # 0, 1, 2 for 0, 2, 4
    pieces = [z[(slice(None), *map(slice, at, np.add(at, patch)))] for at in starts]
    yield torch.stack([p.permute(1, 2, 3, 0).reshape(-1) for p in pieces]), f"overlapping: {STRIDE}"


@exercise("right: first frame alone, then fours; 8 pixels down and 16 across")
def count_tokens(attempt) -> None:
    def asked(frames, height, width, want, **mistakes):
        got = attempt(frames, height, width)
        size = f"{frames} frame{'s' * (frames > 1)} of {height}x{width}"
        assert got is not None, "your function returned None; is there a `return`?"
        for mistake, value in mistakes.items():
            assert got != value, f"{size}: you get {got}: {COUNTS[mistake]}"
        assert got == want, f"{size}: expected {want}, got {got}"
        assert isinstance(got, int), f"a count is a whole number: use // instead of /, not {got!r}"

    asked(1, 64, 64, 32, first=0, high=16, patch=64, vae=64 * 32, both=64 * 64)
    asked(17, 64, 64, 160, first=128, time=17 * 32, vae=17 * 64 * 32, patch=5 * 64, quarter=136)
    asked(33, 40, 96, 9 * 5 * 6, low=9 * 5 * 2, wide=9 * 12 * 6, swapped=9 * 2 * 12)


COUNTS = {  # what students forget
    "first": "the first frame has a latent frame of its own, the others share one in fours",
    "time": "the VAE also compresses time: four frames to one",
    "vae": "that is without the VAE, which makes every 8x8 pixels one cell",
    "patch": "those are latent cells; a patch takes two of them, side by side",
    "high": "a patch is only one cell high: 8 pixels down, 16 across",
    "both": "those are pixels; the VAE and the patches make 8x16 of them one token",
    "quarter": "a quarter of a latent frame does not exist: count 1 + (frames - 1) // 4",
    "low": "the width is not the height here",
    "wide": "the height is not the width here",
    "swapped": "the patch lies: it is 8 pixels high and 16 wide, not the other way round",
}


@exercise("right: each pair has turned by its angle, and no length has changed")
def turn(attempt) -> None:
    pair, quarter = torch.tensor([[1.0, 0.0]]), torch.tensor([[torch.pi / 2]])
    given = pair.clone()
    east = tried(attempt, given, quarter, what="one pair")
    assert not isinstance(east, (list, tuple)), (
        "your function returned both halves apart: torch.cat([…, …], -1) makes one tensor of them"
    )
    same(east, torch.zeros(1, 2), "one pair", tolerance=2)  # the shape
    assert torch.equal(given, pair), (
        "your function writes into x itself (with *=, -= or x[…] = …), so whoever gave it x has "
        "lost it, and its second half may read numbers that you have overwritten: make new tensors"
    )
    right_quarter(east[0])
    rng = torch.Generator().manual_seed(0)
    x, angle = torch.randn(5, 6, generator=rng), 3 * torch.rand(5, 3, generator=rng)
    got = tried(attempt, x.clone(), angle, what="three pairs")
    right_pairs(got, x, angle)


def right_quarter(east) -> None:
    assert east[1] > -0.5, (
        "(1, 0) turned by a quarter should be (0, 1), and yours is (0, -1): a minus is at the "
        "wrong sine, so it turns backward"
    )
    assert abs(east[0]) < 0.01 and east[1] > 0.99, (
        f"(1, 0) turned by π/2 should be (0, 1), and yours is ({east[0]:.2f}, {east[1]:.2f}): "
        "angles are in radians; the new second number is x·sin + y·cos, of the old x, not of one "
        "that you have overwritten"
    )


def right_pairs(got, x, angle) -> None:
    want = rotate(x, angle.cos(), angle.sin())
    same(got, want, "three pairs", tolerance=100)
    apart = rotate(rearrange(x, "n (p two) -> n (two p)", two=2), angle.cos(), angle.sin())
    assert not close(got, rearrange(apart, "n (two p) -> n (p two)", two=2)), (
        "you turn neighbours (0 with 1, 2 with 3 …); that works too, and some models do it, but "
        "here a pair is (i, i + dim/2): use x.chunk(2, -1)"
    )
    assert close(got.norm(dim=-1), want.norm(dim=-1)), (
        "the lengths change, so it is no rotation: is there a plus where the minus belongs?"
    )
    same(got, want, "three pairs")


def close(a, b) -> bool:
    return torch.allclose(a, b, atol=1e-4)
