"""The ODE solvers and guidance: from noise to latents, a step at a time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from minisora.flow import clean, per_frame

SOLVERS = ("adams", "euler", "heun")
MOST_STEPS, MOST_GUIDANCE = 1000, 100


@dataclass(frozen=True)
class Step:
    """What the sampler has after each step."""

    index: int  # 1 to steps
    steps: int
    tau: float  # where the walk is now: 0 is data
    z: Tensor  # latents `b c t h w`, still noisy until the last step
    guess: Tensor  # the clean latents as the model imagines them now


def guided(model, z: Tensor, tau: Tensor, tokens, null, guidance: float, starts=None) -> Tensor:
    """Return the velocity pushed away from what the model would do without the caption.

    v = v(null) + g·(v(caption) − v(null)): classifier-free guidance, Ho & Salimans 2022,
    arXiv 2207.12598, equation 6 with g = 1 + w. Both go through the model in one batch.
    """
    if guidance == 1:
        return model(z, tau, tokens, starts)
    both = None if starts is None else torch.cat([starts, starts])
    m = max(tokens.shape[1], null.shape[1])  # PAD is 0
    tokens, null = (torch.nn.functional.pad(a, (0, m - a.shape[1])) for a in (tokens, null))
    v = model(
        torch.cat([z, z]), torch.cat([tau, tau]), torch.cat([tokens, null.expand(len(z), -1)]), both
    )
    with_caption, without = v.chunk(2)
    return without + guidance * (with_caption - without)


@torch.no_grad()
def sample(
    model,
    noise: Tensor,
    tokens: Tensor,
    null: Tensor,
    steps: int = 10,
    guidance: float = 3.0,
    solver: str = "adams",
    given: Tensor | None = None,
    known: Tensor | None = None,
    shift: float = 3.0,
    starts: Tensor | None = None,
    begin: float = 1.0,
    haze: Tensor | None = None,
) -> Iterator[Step]:
    """Walk from noise (τ = 1) to data (τ = 0), yielding every step.

    Args:
        model: the diffusion transformer.
        noise: where the walk begins, `b c t h w`: standard normal, or z at τ = `begin`.
        tokens: captions, int64 `b m`.
        null: the null caption, or what is not wanted (a negative prompt), int64 `1 k` or `b k`.
        steps: of the solver.
        guidance: 1 follows the model, more insists on the caption.
        solver: "euler" follows the velocity; "heun" averages it over both ends of the step
            (Karras et al. 2022, arXiv 2206.00364, algorithm 1), at twice the cost; "adams" carries
            on the change since the step before instead, at no cost (Adams and Bashforth's method
            of two steps; of diffusion models by Liu et al. 2022, arXiv 2202.09778), except where
            that goes astray: into a step half as long again or longer, and beyond guidance 0 to 4.
        given: bool `b t`, frames that are known; they stay as they are at every step.
        known: `b c t h w`, their latents (elsewhere ignored).
        shift: above 1 spends more of the steps near the noise (`flow.draw_tau`).
        starts: as in `DiT.forward`.
        begin: τ of the first step; below 1 for the editing of Meng et al. 2022, arXiv 2108.01073.
        haze: `b t`, τ of the given frames where their latents are slightly noised; None: all 0.

    Raises:
        ValueError: an unknown solver, no step or far too many, senseless guidance, a beginning
            outside [0, 1], or `given` without `known`.
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver {solver!r} is not one of {', '.join(SOLVERS)}")
    if not 1 <= steps <= MOST_STEPS:
        raise ValueError(f"sampling takes at least one step and at most {MOST_STEPS}, not {steps}")
    if not abs(guidance) <= MOST_GUIDANCE:  # nan is not
        raise ValueError(f"guidance is a number up to {MOST_GUIDANCE} (3 is usual), not {guidance}")
    if not 0 <= begin <= 1:
        raise ValueError(f"sampling begins at a τ from 0 (data) to 1 (noise), not {begin}")
    if (given is None) != (known is None):
        raise ValueError("given and known come together: which frames, and their latents")
    b, _, t = noise.shape[:3]
    free = torch.ones(b, t, device=noise.device) if given is None else (~given).float()
    haze = 0 if haze is None else haze * (1 - free)
    z = noise if known is None else torch.where(per_frame(free) > 0, noise, known)
    times = torch.linspace(begin / (shift - (shift - 1) * begin), 0, steps + 1)
    times = shift * times / (1 + (shift - 1) * times)

    def field(z: Tensor, tau: float) -> Tensor:
        v = guided(model, z, tau * free + haze, tokens, null, guidance, starts)
        return v * per_frame(free)

    last, before = 0, None  # the step before: its length, and the velocity at its beginning
    for i, (now, then) in enumerate(zip(times[:-1].tolist(), times[1:].tolist(), strict=True)):
        v, stride = field(z, now), then - now
        guess, slope = clean(z, v, now * free), v
        if solver == "heun" and then > 0:  # the last step goes straight to the data
            slope = (v + field(z + stride * v, then)) / 2
        if solver == "adams" and 0 <= guidance <= 4 and last and stride / last < 1.49:
            slope = v + stride / (2 * last) * (v - before)  # the velocity in mid-step, guessed
        z, last, before = z + stride * slope, stride, v
        yield Step(i + 1, steps, then, z, guess)


def draw_seed(seed: int | None) -> int:
    """Return the seed, or draw one where there is none.

    Raises:
        ValueError: it is not a whole number from 0 to 2³² − 1.
    """
    seed = random.randrange(2**31) if seed is None else seed
    if not (isinstance(seed, int | np.integer) and 0 <= seed < 2**32):
        raise ValueError(f"seed {seed!r} is not a whole number from 0 to {2**32 - 1}")
    return int(seed)
