"""τ runs from 0, which is data, to 1, which is noise: z_τ = (1−τ)·z + τ·ε.

Rectified flow (Liu et al. 2022, arXiv 2209.03003; Lipman et al. 2022, arXiv 2210.02747): join every
clean latent z to some noise ε by a straight line, teach a network the velocity dz_τ/dτ = ε − z from
z_τ alone, and walk back from noise to data along its answers.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor


def per_frame(tau: Tensor) -> Tensor:
    """Give τ `b t` the axes of latents, `b 1 t 1 1`."""
    return rearrange(tau, "b t -> b 1 t 1 1")


def add_noise(z: Tensor, noise: Tensor, tau: Tensor) -> Tensor:
    """Return z_τ = (1−τ)·z + τ·ε for latents `b c t h w` and τ `b t`."""
    tau = per_frame(tau)
    return (1 - tau) * z + tau * noise


def velocity(z: Tensor, noise: Tensor) -> Tensor:
    """Return dz_τ/dτ = ε − z: constant along the line, the target of the training."""
    return noise - z


def clean(z_tau: Tensor, v: Tensor, tau: Tensor) -> Tensor:
    """Return where the line through z_τ with velocity v begins, z = z_τ − τ·v."""
    return z_tau - per_frame(tau) * v


def draw_tau(b: int, generator: torch.Generator, shift: float = 3.0, even: float = 0.2) -> Tensor:
    """Draw diffusion times `b`: logit-normal, shifted towards noise, with a share spread evenly.

    τ = sigmoid(n), n ~ N(0, 1), then sτ / (1 + (s−1)τ): Esser et al. 2024, arXiv 2403.03206,
    section 3.1 and equation 23. The shift matters for video: its thousands of numbers give a
    background away even at τ = 0.9, so only near τ = 1 is there anything to learn from words
    about it. The n of a batch are stratified (Kingma et al. 2021, arXiv 2107.00630), which makes
    the loss less noisy.
    """
    u = (torch.arange(b) + torch.rand(b, generator=generator)) / b
    tau = torch.special.ndtri(u.clamp(1e-5, 1 - 1e-5)).sigmoid()
    tau = shift * tau / (1 + (shift - 1) * tau)
    spread = torch.rand(2, b, generator=generator)
    return torch.where(spread[0] < even, spread[1], tau)


def draw_given(b: int, t: int, share: float, generator: torch.Generator) -> Tensor:
    """Draw which latent frames are given, bool `b t`: none, except in a `share` of the samples.

    There: the first or the first two, the last or the last two, both ends, or a random half.
    """
    given = torch.zeros(b, t, dtype=torch.bool)
    if t == 1:
        return given
    kinds = torch.randint(6, (b,), generator=generator)
    chosen = torch.rand(b, generator=generator) < share
    half = torch.rand(b, t, generator=generator) < 0.5
    half[:, 0] &= ~half.all(1)  # something is left to learn
    for i in chosen.nonzero()[:, 0].tolist():
        kind = int(kinds[i])
        given[i, : (1, min(2, t - 1), 0, 0, 1, 0)[kind]] = True
        given[i, t - (0, 0, 1, min(2, t - 1), int(t > 2), 0)[kind] :] = True
        if kind == 5:
            given[i] = half[i]
    return given


def draw_haze(b: int, generator: torch.Generator, most: float = 0.1) -> Tensor:
    """Draw τ of the given frames, `b`: 0 in half of the samples, up to `most` in the others.

    What the model made itself is never as clean as what it learnt from; given with a little noise,
    it is trusted a little less.
    """
    spread = torch.rand(2, b, generator=generator)
    return torch.where(spread[0] < 0.5, 0.0, most * spread[1])


def loss(
    model,
    z: Tensor,
    tokens: Tensor,
    tau: Tensor,
    given: Tensor,
    noise: Tensor,
    starts=None,
    haze=None,
    weight: Tensor | None = None,
):
    """Return the mean squared error of the velocity over the frames that are not given.

    Args:
        model: maps z_τ, τ `b t`, tokens and starts to velocities.
        z: clean latents `b c t h w`.
        tokens: captions `b m`.
        tau: `b`, one for all frames that are not given.
        given: bool `b t`; these frames are left out of the loss.
        noise: as z.
        starts: as in `DiT.forward`.
        haze: τ of the given frames, `b`; None: 0.
        weight: how much each cell counts, `b t h w`; None: all alike.
    """
    haze = torch.zeros_like(tau) if haze is None else haze
    tau = torch.where(given, haze[:, None], tau[:, None])
    error = model(add_noise(z, noise, tau), tau, tokens, starts) - velocity(z, noise)
    error = error.float().square().mean(1)  # b t h w
    if weight is None:
        return error[~given].mean()
    return (weight * error)[~given].sum() / weight[~given].sum()
