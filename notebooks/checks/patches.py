"""Checks for notebook 03: cutting, counting, turning."""

from __future__ import annotations

import torch
from einops import rearrange

from checks import exercise, same
from minisora.patches import patchify, rotate

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


@exercise("right: every number is in its place, in the order of the package")
def cut(attempt) -> None:
    toy = torch.arange(16.0).reshape(1, 1, 4, 4)
    same_tokens(attempt(toy, (1, 2, 2)), toy, (1, 2, 2), "the toy")
    box = torch.arange(3.0 * 4 * 6 * 6).reshape(3, 4, 6, 6)  # sizes that no swap survives
    same_tokens(attempt(box, (2, 2, 3)), box, (2, 2, 3), "a box of 3 channels and 4 frames")


def same_tokens(got, z, patch: tuple, what: str) -> None:
    """Assert that tokens `n d` are those of latents `c t h w`, and name the usual mistakes."""
    assert not isinstance(got, (list, tuple)), (
        f"{what}: your function returned a {type(got).__name__}; torch.stack makes one tensor of it"
    )
    want = patchify(z[None], patch)[0]
    if isinstance(got, torch.Tensor) and got.shape == want.shape:
        sizes = dict(zip(("pt", "ph", "pw"), patch, strict=True))
        for order, meaning in ORDERS.items():
            wrong = rearrange(z, f"c (t pt) (h ph) (w pw) -> {order}", **sizes)
            if not torch.equal(wrong, want):
                assert not torch.equal(got.to(wrong.dtype), wrong), f"{what}: {meaning}"
    same(got, want, what)


@exercise("right: first frame alone, then fours; 16 pixels each way")
def count_tokens(attempt) -> None:
    def asked(frames, height, width, want, **mistakes):
        got = attempt(frames, height, width)
        size = f"{frames} frames of {height}x{width}"
        assert got is not None, "your function returned None; is there a `return`?"
        for mistake, value in mistakes.items():
            assert got != value, f"{size}: you get {got}: {COUNTS[mistake]}"
        assert got == want, f"{size}: expected {want}, got {got}"
        assert isinstance(got, int), f"a count is a whole number: use // instead of /, not {got!r}"

    asked(1, 64, 64, 16, first=0, vae=32 * 32, patch=64, both=64 * 64)
    asked(17, 64, 64, 80, first=64, time=17 * 16, vae=17 * 32 * 32, patch=5 * 64, quarter=68)
    asked(33, 48, 96, 9 * 3 * 6, low=9 * 3 * 3, wide=9 * 6 * 6)


COUNTS = {  # what students forget
    "first": "the first frame has a latent frame of its own, the others share one in fours",
    "time": "the VAE also compresses time: four frames to one",
    "vae": "that is without the VAE, which makes every 8x8 pixels one cell",
    "patch": "those are latent cells; a patch takes 2x2 of them",
    "both": "those are pixels; the VAE and the patches make 16x16 of them one token",
    "quarter": "a quarter of a latent frame does not exist: count 1 + (frames - 1) // 4",
    "low": "the width is not the height here",
    "wide": "the height is not the width here",
}


@exercise("right: each pair has turned by its angle, and no length has changed")
def turn(attempt) -> None:
    quarter = torch.tensor([[torch.pi / 2]])
    east = attempt(torch.tensor([[1.0, 0.0]]), quarter)
    same(east, torch.zeros(1, 2), "one pair", tolerance=2)  # the shape
    assert east[0, 1] > -0.5, (
        "(1, 0) turned by a quarter should be (0, 1), and yours is (0, -1): a minus is at the "
        "wrong sine, so it turns backward"
    )
    assert abs(east[0, 0]) < 0.01 and east[0, 1] > 0.99, (
        f"(1, 0) turned by π/2 should be (0, 1), and yours is ({east[0, 0]:.2f}, {east[0, 1]:.2f}):"
        " angles are in radians; the new second number is x·sin + y·cos, of the old x, not of one "
        "that you have overwritten"
    )
    rng = torch.Generator().manual_seed(0)
    x, angle = torch.randn(5, 6, generator=rng), 3 * torch.rand(5, 3, generator=rng)
    got, want = attempt(x.clone(), angle), rotate(x, angle.cos(), angle.sin())
    same(got, want, "three pairs", tolerance=100)
    apart = rotate(rearrange(x, "n (p two) -> n (two p)", two=2), angle.cos(), angle.sin())
    assert not close(got, rearrange(apart, "n (two p) -> n (p two)", two=2)), (
        "you turn neighbours (0 with 1, 2 with 3 …); that works too, and some models do it, but "
        "here a pair is (i, i + d/2): use x.chunk(2, -1)"
    )
    assert close(got.norm(dim=-1), want.norm(dim=-1)), (
        "the lengths change, so it is no rotation: is there a plus where the minus belongs?"
    )
    same(got, want, "three pairs")


def close(a, b) -> bool:
    return torch.allclose(a, b, atol=1e-4)
