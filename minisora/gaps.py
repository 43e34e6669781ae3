"""Gaps: the frames of a video that are not given are made, from those that are.

The transformer learnt from five latent frames at a time (17 frames, 20 in mid-video). More of them
are made window by window, the frames that were just made given to the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from minisora.flow import add_noise, per_frame
from minisora.sampler import Step

if TYPE_CHECKING:
    from minisora.sora import Sora

GROUP = 4  # frames in a latent frame; the first latent frame of a video stands for one
WINDOW, BEFORE = 5, 2  # latent frames made at once, and how many of them are given when rolling
HAZE = 0.05  # τ of frames that the model made itself when they are given to the next window
KEPT = 32  # frames of a clip that are looked at, beside each seam
FADE = 4  # frames over which given pixels turn into what the VAE makes of them, towards a seam


# ---- a row of given frames and gaps ----


def lay(*parts: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """Put given frames (`t h w c`) and numbers of frames to be made in a row.

    Returns:
        The frames `t h w c`, black where they are to be made, and which are given, bool `t`.
    """
    shape = next(part.shape[1:] for part in parts if isinstance(part, np.ndarray))
    row = [p if isinstance(p, np.ndarray) else np.zeros((p, *shape), np.uint8) for p in parts]
    given = [np.full(len(r), r is p) for r, p in zip(row, parts, strict=True)]
    return np.concatenate(row), np.concatenate(given)


def head(frames: np.ndarray, most: int = KEPT) -> np.ndarray:
    """Return a clip's first frames, 4k of them; of fewer than four, the last is repeated."""
    frames = np.concatenate([frames, *[frames[-1:]] * (GROUP - len(frames))])
    return frames[: max(GROUP, min(most, len(frames)) // GROUP * GROUP)]


def tail(frames: np.ndarray, most: int = KEPT + 1) -> np.ndarray:
    """Return a clip's last frames, 1+4k of them."""
    return frames[len(frames) - (min(most, len(frames)) - 1) // GROUP * GROUP - 1 :]


def encode_given(sora: Sora, frames: np.ndarray, given: list[bool]) -> Tensor:
    """Compress the given frames of a video, each run of them by itself.

    The VAE is causal and sees nothing before the first frame, which has a latent frame of its own:
    a clip encoded alone is not a slice of a longer one. So a run in mid-video is encoded behind
    five copies of its first frame (one, and a group of four), whose two latents are dropped; all
    its frames are kept. What is left is close to an unbroken encoding: with the first shipped VAE
    2% of the variance away in the first latent and 0.1% in the second.

    Args:
        sora: the model.
        frames: uint8 `b t h w c`; anything where not given.
        given: for each of the 1 + (t−1)/4 latent frames.

    Returns:
        Latents `b c t h w`, 0 where not given.
    """
    _, _, h, w, _ = frames.shape
    z = torch.zeros(len(frames), sora.vae.config.channels, len(given), h // 8, w // 8)
    z, first = z.to(sora.device), 0
    for there, run in groupby(given):
        stop = first + len(list(run))
        part = frames[:, max(0, GROUP * first - 3) : GROUP * stop - 3]
        if there and first == 0:
            z[:, :, :stop] = sora.encode(part)
        elif there:
            padded = np.concatenate([part[:, :1]] * 5 + [part], 1)
            z[:, :, first:stop] = sora.encode(padded)[:, :, 2:]
        first = stop
    return z


# ---- filling it ----


def windows(given: list[bool]) -> list[slice]:
    """Plan in which windows the latent frames that are not given are made, in order.

    A gap that fits between what is given around it is made at once. A longer one is rolled: away
    from the side that is given, or from both sides in turn until the rest fits.
    """
    done, plan = list(given), []
    while not all(done):
        first = done.index(False)
        stop = done.index(True, first) if True in done[first:] else len(done)
        left, right = first > 0, stop < len(done)
        if stop - first <= WINDOW - left - right:
            begin = stop + right - WINDOW
        elif left and not (right and len(plan) % 2):
            begin = first - BEFORE
        else:
            begin = stop + BEFORE - WINDOW if right else 0
        begin = max(0, min(begin, len(done) - WINDOW))
        plan.append(slice(begin, min(begin + WINDOW, len(done))))
        done[plan[-1]] = [True] * (plan[-1].stop - begin)
    return plan


def roll(
    sora: Sora,
    z: Tensor,
    noise: Tensor,
    given: list[bool],
    prompts: Callable[[int], list[str]],
    begin: float = 1.0,
    on_step: Callable[[Step], None] | None = None,
    **options,
) -> Tensor:
    """Make the latent frames that are not given, window by window.

    Frames that were made and now lead on to others are noised a little, and the model is told so:
    its small errors, taken for truth, would grow from window to window (Diffusion Forcing, Chen et
    al. 2024, arXiv 2407.01392). The noise is that which they came from: their walk, a step back.

    Args:
        sora: the model.
        z: latents `b c t h w`; where not given, what those frames begin from if `begin` is below 1.
        noise: likewise, standard normal.
        given: `t`.
        prompts: says for latent frame i what is to be seen there, in each of the videos.
        begin: τ at which the frames that are not given begin.
        on_step: called with every `Step`, counted over all windows.
        options: of `Sora.denoise`.
    """
    sure = torch.tensor(given, device=z.device)
    made, plan = torch.zeros_like(sure), windows(given)
    for i, here in enumerate(plan):
        fixed = (sure | made)[here].expand(len(z), -1)
        haze = (HAZE * made[here]).expand(len(z), -1)
        start = add_noise(z[:, :, here], noise[:, :, here], torch.where(fixed, haze, begin))

        def count(step: Step, i=i) -> None:
            if on_step:
                every = len(plan) * step.steps
                on_step(replace(step, index=i * step.steps + step.index, steps=every))

        told = prompts(here.start + fixed[0].tolist().index(False))
        starts = torch.full((len(z),), here.start == 0, device=z.device)
        held = dict(given=fixed, known=start, haze=haze, begin=begin, starts=starts)
        new = sora.denoise(start, told, on_step=count, **held, **options)
        z = z.clone()
        z[:, :, here] = torch.where(per_frame(fixed), z[:, :, here], new)
        made[here] |= ~fixed[0]
    return z


def fill_frames(
    sora: Sora, frames: np.ndarray, given: np.ndarray, prompts, seed: int, begin=1.0, **options
) -> np.ndarray:
    """Make the frames that are not given, of several videos of one size at once.

    Args:
        sora: the model.
        frames: uint8 `b t h w c` with t = 1+4k; where not given and begin = 1, anything.
        given: bool `t`, whole groups: frame 0, frames 1 to 4, 5 to 8 and so on.
        prompts: as in `roll`.
        seed: video i depends on seed + i alone.
        begin: τ at which the frames that are not given begin, from what they show.
        options: of `roll`.

    Returns:
        uint8 `b t h w c`. Given frames are as they were, except that within four frames of a seam
        they fade into what the VAE makes of them: a sudden change of sharpness would be seen.
        Made frames are as they were decoded, but for two beside each seam (`soften`).
    """
    b, t, h, w, _ = frames.shape
    groups = given[::GROUP].tolist()
    noise = sora.draw_noise(b, w, h, t, seed)
    z = encode_given(sora, frames, groups)
    if begin < 1:
        there = torch.tensor(groups, device=z.device).view(-1, 1, 1)
        z = torch.where(there, z, sora.encode(frames))
    made = sora.decode(roll(sora, z, noise, groups, prompts, begin, **options))
    away = abs(np.arange(t)[:, None] - np.flatnonzero(~given)).min(1)  # frames to the nearest seam
    weight = np.float32(np.clip((away - 1) / FADE, 0, 1))[:, None, None, None]
    joined = soften(weight * frames + (1 - weight) * made, given)
    return np.rint(joined, out=joined).clip(0, 255, out=joined).astype(np.uint8)


def soften(frames: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Take the jump across each seam from the two frames next to it that were made, in place.

    The jump is by how much the step from what is given to what was made differs from the mean of
    the steps before and behind it. The first frame loses it wholly, the second half of it. Where
    one frame is given there is no step before it, and nothing is done.

    Args:
        frames: floats `b t h w c`.
        given: bool `t`.
    """
    seams = [i for i in np.flatnonzero(given[1:] != given[:-1]) if 0 < i < len(given) - 2]
    steps = [np.diff(frames[:, i - 1 : i + 3], axis=1) for i in seams]  # three about each seam
    for i, step in zip(seams, steps, strict=True):
        jump = step[:, 1] - (step[:, 0] + step[:, 2]) / 2
        at, on = (i + 1, 1) if given[i] else (i, -1)
        frames[:, at] -= on * jump
        frames[:, at + on] -= on * jump / 2
    return frames


def chosen(text: str, count: int) -> np.ndarray:
    """Read which of so many frames are meant, such as "0-8,13-16", as bool `count`."""
    mask, last = np.zeros(count, bool), count - 1
    for part in text.split(","):
        ends = [int(end) for end in part.split("-") if end.strip().isdecimal()]
        whole = len(ends) == part.count("-") + 1 < 3
        if not (whole and 0 <= ends[0] <= ends[-1] <= last):
            raise ValueError(f"given is frames from 0 to {last}, such as 0-8,13-16, not {text!r}")
        mask[ends[0] : ends[-1] + 1] = True
    return mask
