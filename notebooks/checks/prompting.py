"""Checks of notebook 08: a τ for each frame, the weights of a fade, where an edit begins."""

from __future__ import annotations

import numpy as np
import torch

from checks import exercise, same


@exercise("each frame says how far it can be trusted")
def tau_of(attempt) -> None:
    """τ of each frame, from which frames are given and where the others are."""
    given = torch.tensor([[True, False, False], [False, True, True]])
    got = attempt(given, 0.75)
    assert got is not None, "tau_of returned None; is there a `return`?"
    assert torch.is_tensor(got), f"expected a tensor `b t`, not {type(got).__name__}"
    assert got.dtype.is_floating_point, (
        f"τ is a number between 0 and 1, your tensor holds {got.dtype}: make it float first"
    )
    assert got.shape == given.shape, (
        f"one τ for each frame of each video, {tuple(given.shape)}; yours is {tuple(got.shape)}"
    )

    def is_(wrong) -> bool:
        return torch.allclose(got.float(), torch.as_tensor(wrong).float().expand(2, 3))

    assert not is_(given * 0.75), "turned round: GIVEN frames are data, τ = 0; the others are noise"
    assert not is_(0.75), "that is one τ for all: a given frame is clean, whatever the others are"
    assert not is_((~given).float()), "the others are at `tau` now, not at 1 for ever"
    assert not is_((~given) * 0.75 + given * 1.0), "1 is noise and 0 is data: given frames are at 0"
    same(got.float(), 0.75 * (~given).float(), "τ of two videos")
    same(attempt(given, 0.0).float(), torch.zeros(2, 3), "at the end of the walk all are data")


def _away(given: np.ndarray) -> np.ndarray:
    """Frames to the nearest one that is made."""
    return np.abs(np.arange(len(given))[:, None] - np.flatnonzero(~given)).min(1)


@exercise("sharp where it is yours, soft where it meets what was made")
def fade_weights(attempt) -> None:
    """How much of the given pixels each frame keeps."""
    row = np.array([True] * 7 + [False] * 4 + [True] * 4)
    got = attempt(row)
    assert got is not None, "fade_weights returned None; is there a `return`?"
    got = np.asarray(got, dtype=float)
    assert got.shape == row.shape, f"one weight for each of {len(row)} frames, not {got.shape}"
    away = _away(row)
    want = np.clip((away - 1) / 4, 0, 1)
    left = np.where(np.arange(15) < 11, want, 1.0)

    def is_(wrong) -> bool:
        return np.allclose(got, wrong, atol=1e-6)

    assert not is_(1 - want), "turned round: far from a seam the given pixels are kept, weight 1"
    assert not is_(row.astype(float)), "that is a hard splice: from 1 to 0 in one frame"
    assert not is_(np.clip(away / 4, 0, 1)), (
        "one frame late: the given frame RIGHT BESIDE a made one has weight 0; subtract 1"
    )
    assert got.max() <= 1 and got.min() >= 0, (
        f"weights are from 0 to 1, yours from {got.min():.2f} to {got.max():.2f}: clip them"
    )
    assert not got[~row].any(), "frames that are made keep nothing of what was given: weight 0"
    assert not is_(left), "a seam has two sides: the given frames AFTER the gap fade, too"
    seen = np.array2string(got, precision=2, max_line_width=200)
    assert is_(want), f"7 given, 4 made, 4 given: expected {want}, got {seen}"
    two = np.array([False] + [True] * 6 + [False])
    assert np.allclose(np.asarray(attempt(two), dtype=float), [0, 0, 0.25, 0.5, 0.5, 0.25, 0, 0]), (
        "between TWO gaps (■□■□■) frames fade towards both: what counts is the nearest made frame"
    )
    short = np.array([False] + [True] * 5)
    assert np.allclose(np.asarray(attempt(short, 2), dtype=float), [0, 0, 0.5, 1, 1, 1]), (
        "with fade=2 and a gap at the beginning the weights are 0, 0, 0.5, 1, 1, 1"
    )


@exercise("on the straight line, as far as you dare")
def start_point(attempt) -> None:
    """Latents at τ = strength."""
    z, noise, s = torch.tensor([[2.0, -1.0]]), torch.tensor([[0.5, 1.0]]), 0.25
    got = attempt(z, noise, s)
    assert got is not None, "start_point returned None; is there a `return`?"

    def is_(wrong) -> bool:
        return tuple(got.shape) == (1, 2) and torch.allclose(got, wrong, atol=1e-5)

    assert not is_(s * z + (1 - s) * noise), (
        "turned round: strength 0 keeps the clip, strength 1 is pure noise"
    )
    assert not is_(z + s * noise), (
        "the clip has to grow weaker while the noise grows: multiply z by 1 − strength "
        "(only adding noise belongs to another family of diffusion models)"
    )
    assert not is_((1 - s**2) ** 0.5 * z + s * noise), (
        "that keeps the variance; our path is the straight line, (1 − τ)·z + τ·ε"
    )
    assert not is_((1 - s) * z), "where is the noise?"
    assert not is_(z - s * noise), "add the noise"
    same(got, (1 - s) * z + s * noise, "strength 0.25")
    same(attempt(z, noise, 0.0), z, "strength 0 is the clip")
    same(attempt(z, noise, 1.0), noise, "strength 1 is the noise")
