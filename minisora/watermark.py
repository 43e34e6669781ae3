"""Made by us? A mark in the pixels that no eye finds and that stays where credentials are stripped.

Spread spectrum (Cox et al. 1997, IEEE Transactions on Image Processing 6): a weak pattern of random
signs, the same in every frame of every video, is added to the brightness. In the sum over
thousands of small squares, each times its sign, the picture cancels and the pattern adds up.

It proves that the mark is there, and neither who put it there nor that the rest is untouched: with
this source everybody can add it to a photograph, or take it away. Its absence proves nothing.
"""

from __future__ import annotations

import hashlib
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

SIDE = 128  # squares of the pattern, which is repeated beyond
SQUARE = 2  # pixels of a video's own, before it is enlarged
STRENGTH = 1.5  # of 255
ALARM = 1e-4  # how often chance alone may look like the mark
SCALES = (*range(1, 9), 0.5, 1.5)  # of a cropped file's pixels to the video's own

_BITS = b"".join(hashlib.sha256(b"minisora %d" % i).digest() for i in range(SIDE * SIDE // 256))
SIGNS = 2.0 * np.unpackbits(np.frombuffer(_BITS, np.uint8)).reshape(SIDE, SIDE) - 1


class Mark(NamedTuple):
    """What was found in a video."""

    found: bool
    z: float  # the sum in standard deviations of what chance gives: the best of all places tried
    chance: float  # probability of such a z, or a larger one, somewhere in a video without the mark
    scale: float  # of the file's pixels to the video's own
    shift: tuple[int, int]  # rows and columns of squares that were cropped away


def embed(frames: np.ndarray) -> np.ndarray:
    """Return frames, uint8 `t h w c`, with the mark in them; 44 dB away from those without."""
    rows, columns = (np.arange(n) // SQUARE % SIDE for n in frames.shape[1:3])
    signs = SIGNS[np.ix_(rows, columns)][..., None].astype(np.float32)
    return np.clip(np.rint(frames + STRENGTH * signs), 0, 255).astype(np.uint8)


def detect(frames: np.ndarray) -> Mark:
    """Look for the mark in frames, uint8 `t h w c`, of whatever size and crop.

    A sum over n signs has the standard deviation of √n in a video without the mark; as many sizes
    and shifts are tried, chance is what they have together. The 256 squares of 32×32 pixels are too
    few to be sure, the 1,024 of 64×64 nearly always enough.
    """
    grey = np.mean([frame.mean(-1, dtype=np.float32) for frame in frames], 0)
    sizes = {(h // SQUARE, w // SQUARE): (h, w) for h, w in originals(*grey.shape)}
    best = max((look(grey, grid) for grid in sizes), default=(0.0, 0, 0, 1))
    z, row, column, height = best
    chance = min(1.0, max(1, len(sizes)) * SIDE**2 * NormalDist().cdf(-z))
    return Mark(chance < ALARM, z, chance, grey.shape[0] / (height * SQUARE), (row, column))


def originals(height: int, width: int) -> set[tuple[int, int]]:
    """Return sizes that a video of this size may have had: enlarged, cropped, or fitted whole."""
    sizes = {(round(height / scale), round(width / scale)) for scale in SCALES}
    for w in range(32, min(width, 512) + 1, 16):
        h = round(w * height / width / 8) * 8
        if h and abs(h / w * width / height - 1) < 0.02:
            sizes.add((h, w))
    return {(h, w) for h, w in sizes if min(h, w) >= 32}


def look(grey: np.ndarray, grid: tuple[int, int]) -> tuple[float, int, int, int]:
    """Return the best z of all shifts, its row and column, and the rows of a grid of squares."""
    x = F.interpolate(torch.from_numpy(grey)[None, None], grid, mode="area")
    x = x - around(x, 1)
    x = x / (around(x.square(), 2) + 1)  # where the picture itself is busy, squares say less
    x = F.pad(x[0, 0], (0, -grid[1] % SIDE, 0, -grid[0] % SIDE))
    x = x.unflatten(1, (-1, SIDE)).unflatten(0, (-1, SIDE)).sum((0, 2))  # as the pattern repeats
    laid = torch.fft.irfft2(torch.fft.rfft2(x).conj() * torch.fft.rfft2(torch.from_numpy(SIGNS)))
    z = laid / x.square().sum().sqrt().clamp_min(1e-6)
    place = int(z.argmax())
    return float(z.max()), place // SIDE, place % SIDE, grid[0]


def around(x: torch.Tensor, reach: int) -> torch.Tensor:
    """Return the mean of each square's neighbourhood, `1 1 h w`."""
    return F.avg_pool2d(F.pad(x, (reach,) * 4, "replicate"), 2 * reach + 1, 1)
