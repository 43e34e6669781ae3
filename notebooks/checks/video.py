"""Checks of notebook 01: pixels and back, wheels that lie, slices through time, entropy."""

from __future__ import annotations

import numpy as np
import torch

from checks import exercise, same
from minisora.video import frames_to_tensor


def bits(values) -> float:
    """Return the entropy of an integer array's values in bits a value (Shannon 1948)."""
    _, counts = np.unique(values, return_counts=True)
    p = counts / counts.sum()
    return float((p * np.log2(1 / p)).sum())


@exercise("exact: all 256 levels there and back, in their places, and nothing wraps around")
def to_pixels(attempt) -> None:
    """Check a function from `c t h w` float to `t h w c` uint8."""
    frames = (np.arange(2 * 4 * 32 * 3) % 256).astype(np.uint8).reshape(2, 4, 32, 3)
    got = attempt(frames_to_tensor(frames))
    assert got is not None, "your function returned None; is there a `return`?"
    got = np.asarray(got)
    assert got.shape != (3, 2, 4, 32), "the channels still come first: rearrange to t h w c"
    assert got.shape == frames.shape, (
        f"c t h w = (3, 2, 4, 32) should become t h w c = {frames.shape}, not {got.shape}"
    )
    assert got.dtype == np.uint8, f"pixels are uint8, yours are {got.dtype}: end with .byte()"
    worst = int(abs(got.astype(int) - frames).max())
    if worst > 1:
        scrambled = (np.sort(got, None) == np.sort(frames, None)).all()
        assert not scrambled, (
            "all the right numbers, in the wrong places: reshape cuts the same row of numbers "
            "into other pieces, rearrange moves the axes"
        )
    assert worst != 1 or (got <= frames).all(), (
        "some levels come back one too high: 255 steps lie between -1 and 1, so 127.5, not 128"
    )
    assert worst != 1, (
        "some levels come back one too low: 254.99998 became 254; round before .byte()"
    )
    assert worst == 0, (
        f"values are off by up to {worst}: -1 is 0 and +1 is 255, so x is level / 127.5 - 1"
    )
    loud = torch.tensor([-1.2, -1.004, 1.004, 1.2]).view(1, 1, 2, 2).expand(3, -1, -1, -1)
    got = np.asarray(attempt(loud))[0, ..., 0].ravel().tolist()
    assert got == [0, 0, 255, 255], (
        f"-1.2, -1.004, 1.004 and 1.2 should become 0, 0, 255 and 255, not {got}: clamp to 0…255 "
        "first, or dark turns bright"
    )


@exercise("you can now say of any wheel in any western which way it will seem to turn")
def apparent_turns(attempt) -> None:
    """Check a function from true turns and frames a second to apparent turns a second."""
    got = attempt(1, 8)
    assert got is not None, "your function returned None; is there a `return`?"
    assert abs(got - 1 / 8) > 1e-6, "that is turns a frame; asked for are turns a second"
    assert abs(got - 1) < 1e-6, f"1 turn a second at 8 fps is filmed well: 1, not {got:g}"
    got = attempt(7, 8)
    assert abs(got - 7) > 1e-6, (
        "7 turns a second at 8 fps: 7/8 of a turn a frame looks like 1/8 backwards, so -1, not 7"
    )
    assert abs(got - 1) > 1e-6, "7 turns a second at 8 fps: the speed is right, but backwards: -1"
    assert abs(got - 4) > 1e-6, "a wheel does not slow down to fps / 2: beyond it, it turns back"
    for turns, fps, want in (
        (7, 8, -1), (8, 8, 0), (9, 8, 1), (5, 8, -3), (3, 8, 3), (-7, 8, 1), (-3, 8, -3),
        (23, 24, -1), (31, 8, -1), (12.5, 10, 2.5),
    ):  # fmt: skip
        got = attempt(turns, fps)
        assert abs(got - want) < 1e-6, (
            f"{turns} turns a second at {fps} fps should seem {want:g} a second, not {got:g}"
        )


@exercise("a picture of one column's whole life: up is up, and time runs to the right")
def yt_slice(attempt) -> None:
    """Check a function from `t h w c` and a column to `h t c`."""
    frames = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    got = attempt(frames, 2)
    assert got is not None, "your function returned None; is there a `return`?"
    got = np.asarray(got)
    assert got.ndim == 3, f"expected the three axes h t c, got the shape {got.shape}"
    assert got.shape != (5, 4, 3), "that is t h c: time runs down; swap time and height"
    assert got.shape not in ((6, 5, 3), (5, 6, 3)), (
        "that is a row, the x–t slice: the column is an index of w, the third axis of t h w c"
    )
    same(got.astype(int), frames[:, :, 2].swapaxes(0, 1).astype(int), "column 2 of a 5×4×6 clip", 0)


@exercise("that is Shannon's measure: the fewest bits a value, if values are coded one at a time")
def entropy(attempt) -> None:
    """Check a function from an integer array to bits a value."""
    got = attempt(np.array([0, 1] * 8))
    assert got is not None, "your function returned None; is there a `return`?"
    got = float(got)
    assert np.isfinite(got), "0·log2(0) is not a number: count only the values that occur"
    assert abs(got + 1) > 1e-6, "a fair coin: -1; the sum of p·log2(p) is negative, turn its sign"
    assert abs(got - np.log(2)) > 1e-6, "a fair coin: 0.69 is in nats; bits need log2"
    assert abs(got - 0.5) > 1e-6, "a fair coin: 0.5; sum over the different values, do not average"
    assert abs(got - 16) > 1e-6, "a fair coin: 16 bits in all; asked for are bits a value"
    assert abs(got - 1) < 1e-6, f"a fair coin has 1 bit a throw, not {got:.3g}"
    for values, want, what in (
        (np.zeros(9, int), 0, "nine equal values"),
        (np.arange(8), 3, "eight different values"),
        (np.array(list(b"aaaabbcd")), 1.75, "aaaabbcd"),
        (np.array([0, 3, 3, 3]), bits([0, 3, 3, 3]), "the values 0, 3, 3, 3"),
        (np.array([[-1, -1], [0, 1]]), 1.5, "negative values, in a 2×2 array"),
        (np.arange(256, dtype=np.uint8), 8, "all 256 levels"),
    ):
        got = float(attempt(values))
        assert np.isfinite(got), f"{what}: not a number; count only the values that occur"
        assert abs(got - want) < 1e-6, f"{what}: {want:.3f} bits a value, not {got:.3f}"
