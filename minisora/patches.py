"""Spacetime patches: latents to a sequence of tokens and back, and where each token is.

Sora's report: "we extract a sequence of spacetime patches which act as transformer tokens", and
any size is a matter of arranging patches in a grid. Where a patch sits is told by rotary positions
(Su et al. 2021, arXiv 2104.09864) along the three axes: attention sees differences of position.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

Patch = tuple[int, int, int]  # frames, rows and columns of latent cells in one patch


def grid_of(shape: tuple[int, ...], patch: Patch) -> tuple[int, int, int]:
    """Return how many patches a latent of shape `… t h w` has along each axis.

    Raises:
        ValueError: a size is not a multiple of the patch's.
    """
    size = tuple(shape[-3:])
    if any(s % p or s < 1 for s, p in zip(size, patch, strict=True)):
        raise ValueError(f"latents of t h w = {size} cannot be cut into patches of {patch}")
    return tuple(s // p for s, p in zip(size, patch, strict=True))


def patchify(z: Tensor, patch: Patch) -> Tensor:
    """Cut latents into patches: `b c t h w` to tokens `b n (pt ph pw c)`, time slowest."""
    grid_of(z.shape, patch)
    pt, ph, pw = patch
    return rearrange(z, "b c (t pt) (h ph) (w pw) -> b (t h w) (pt ph pw c)", pt=pt, ph=ph, pw=pw)


def unpatchify(tokens: Tensor, grid: tuple[int, int, int], patch: Patch) -> Tensor:
    """Lay patches out again: tokens `b n (pt ph pw c)` on a grid t h w to latents `b c t h w`."""
    sizes = dict(zip(("t", "h", "w", "pt", "ph", "pw"), (*grid, *patch), strict=True))
    pattern = "b (t h w) (pt ph pw c) -> b c (t pt) (h ph) (w pw)"
    return rearrange(tokens, pattern, **sizes)


def pack(clips: list[Tensor], words: list[Tensor] | tuple = ()) -> tuple[Tensor, Tensor]:
    """Put the tokens of several clips in one sequence, in which each clip sees only itself.

    Nothing is padded, whatever the sizes: NaViT, Dehghani et al. 2023, arXiv 2307.06304. (Training
    here takes clips of one size in a step, which needs no mask either: notebook 09 compares them.)

    Args:
        clips: the tokens of each, `n d`; n may differ.
        words: what else those of each clip may look at, `m d`: its caption.

    Returns:
        The sequence `N d`, and whether a token looks at a key, bool `N N+M`: block-diagonal.
    """
    counts = (torch.tensor([*map(len, parts)], dtype=torch.long) for parts in (clips, words))
    own, told = (torch.arange(len(n)).repeat_interleave(n) for n in counts)
    mask = own[:, None] == torch.cat([own, told])
    return torch.cat([*clips]), mask.to(clips[0].device)


def positions(grid: tuple[int, int, int]) -> Tensor:
    """Return each patch's place, float `n 3`: time from the start, row and column from the middle.

    Space is counted from the middle, so the middle of every size is the same place.
    """
    t, h, w = (torch.arange(size, dtype=torch.float32) for size in grid)
    axes = torch.meshgrid(t, h - (grid[1] - 1) / 2, w - (grid[2] - 1) / 2, indexing="ij")
    return torch.stack([axis.reshape(-1) for axis in axes], 1)


def rotary(place: Tensor, dim: int, slowest: float = 100.0) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, each `n dim/2`, of the angles that encode places `n 3`.

    A quarter of the pairs turn with time, the rest with rows and columns in equal parts; within
    an axis the wave lengths grow geometrically from 2π to 2π·slowest patches (our choice:
    grids here are small, so language models' 10,000 would leave most pairs unused).
    """
    pairs = dim // 2
    counts = (pairs - 2 * (3 * pairs // 8), 3 * pairs // 8, 3 * pairs // 8)
    angles = [
        place[:, axis, None] * slowest ** (-torch.arange(count, device=place.device) / count)
        for axis, count in enumerate(counts)
    ]
    angles = torch.cat(angles, 1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair of features (i, i + dim/2) by its angle: x `… n dim`, angles `n dim/2`."""
    one, two = x.chunk(2, -1)
    return torch.cat([one * cos - two * sin, one * sin + two * cos], -1)
