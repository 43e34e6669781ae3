"""Training loops as generators of small records, with their optimisers and averages.

A loop draws everything random in a step from the seed and the step's number, so what it needs to
go on exactly is only weights, averages and the optimisers' state: an interrupted run ends at the
very same weights as an unbroken one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from minisora.checkpoints import load_progress, save_progress
from minisora.data import pixels
from minisora.device import autocast, fast_dtype
from minisora.muon import Muon
from minisora.presets import Preset
from minisora.vae import VAE, kl_divergence, psnr
from minisora.video import frames_to_tensor

ADVICE = "the progress saved before is kept; try a lower learning rate"
UNSEEN = 1_000_000  # seeds from here on are never trained on, though their combinations are


@dataclass(frozen=True)
class Record:
    """What a training loop tells after each step."""

    step: int  # 1 to steps
    steps: int
    loss: float
    seconds: float  # of training so far, interruptions left out
    score: float | None = None  # VAE: dB of PSNR; DiT: loss; on unseen clips, now and then

    @property
    def rate(self) -> float:
        """Steps a second so far."""
        return self.step / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float:
        """Of training, at the rate so far."""
        return (self.steps - self.step) / self.rate


def optimizers(model: nn.Module, preset: Preset) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices inside the network and AdamW for all other parameters."""
    outside = ("stem", "head", "embed", "text.words", "places", "table", "steer", "last")
    matrices, others = [], []
    for name, p in model.named_parameters():
        inside = p.ndim == 2 and not any(part in name for part in outside)
        (matrices if inside else others).append(p)
    dtype = fast_dtype(matrices[0].device)
    return [
        Muon(matrices, lr=preset.muon_lr, decay=preset.decay, dtype=dtype),
        torch.optim.AdamW(others, lr=preset.adam_lr, betas=(0.9, 0.99), weight_decay=0.0),
    ]


def schedule(step: int, preset: Preset) -> float:
    """Return the share of the learning rate in a step: up, level, then straight down to 0."""
    left = (preset.steps - step) / max(1, preset.steps * preset.cooldown)
    return min(1.0, (step + 1) / preset.warmup, left)


class Average:
    """A running mean of weights, w ← w + (1−d)(new−w), young at first: d = (1+n)/(10+n) ≤ 0.99."""

    def __init__(self, model: nn.Module):
        self.weights = {n: p.detach().clone() for n, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model's weights."""
        decay = min(0.99, (1 + step) / (10 + step))
        for name, p in model.named_parameters():
            self.weights[name].lerp_(p, 1 - decay)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the average and the model's weights; doing it twice changes nothing."""
        for name, p in model.named_parameters():
            mine = self.weights[name].clone()
            self.weights[name].copy_(p)
            p.copy_(mine)


def restore(progress: Path | None, model, average, opts, preset) -> tuple[int, float]:
    """Return the step and the seconds to go on from, with all state put back; (0, 0) if new."""
    state = load_progress(progress) if progress else None
    if state is None:
        return 0, 0.0
    mismatch = ValueError(f"{progress} is of another recipe; delete it to begin again")
    if state.get("recipe", repr(preset)) != repr(preset):
        raise mismatch
    try:
        model.load_state_dict(state["model"])
        means = state["average"]
        average.weights = {n: means[n].to(p.device) for n, p in model.named_parameters()}
        for opt, saved in zip(opts, state["optimizers"], strict=True):
            opt.load_state_dict(saved)
    except (KeyError, RuntimeError):
        raise mismatch from None
    return state["step"], state["seconds"]


def loop(
    model: nn.Module,
    preset: Preset,
    loss_of: Callable[[int], Tensor],
    score: Callable[[], float],
    progress: Path | None,
    save_every: int = 100,
) -> Iterator[Record]:
    """Train a model, yielding a `Record` a step; at the end it holds the averaged weights.

    Args:
        model: trained in place.
        preset: the recipe.
        loss_of: the loss of a step, given its number.
        score: measures the model on unseen clips.
        progress: where to keep what a later call needs to go on; None keeps nothing. It is
            written now and then, at the end, and when the caller stops early (`break`).
        save_every: steps between writings.

    Raises:
        ValueError: the progress is damaged, or another recipe's.
        ArithmeticError: the loss or a weight is no number; what was saved before is kept.
    """
    average, opts = Average(model), optimizers(model, preset)
    rates = [[group["lr"] for group in opt.param_groups] for opt in opts]
    step, seconds = restore(progress, model, average, opts, preset)

    def save(step: int) -> None:
        parts = dict(model=model.state_dict(), average=average.weights, step=step, seconds=seconds)
        states = [opt.state_dict() for opt in opts]
        save_progress(progress, **parts, optimizers=states, recipe=repr(preset))

    try:
        while step < preset.steps:
            began = time.perf_counter()
            for opt, base in zip(opts, rates, strict=True):
                opt.zero_grad(set_to_none=True)
                for group, lr in zip(opt.param_groups, base, strict=True):
                    group["lr"] = lr * schedule(step, preset)
            model.train()
            loss = loss_of(step)
            loss.backward()
            for opt in opts:
                opt.step()
            average.update(model, step)
            step, value = step + 1, loss.item()
            if not math.isfinite(value + nn.utils.get_total_norm(model.parameters()).item()):
                raise ArithmeticError(f"diverged at step {step} (loss {value}); {ADVICE}")
            seconds += time.perf_counter() - began
            checked = None
            if step % preset.check_every == 0 or step == preset.steps:
                average.swap(model)
                checked = score()
                average.swap(model)
            yield Record(step, preset.steps, value, seconds, checked)
            if progress and (step % save_every == 0 or step == preset.steps):
                save(step)  # after the caller has noted the record: a resumed curve has no hole
    except GeneratorExit:  # the caller stopped: between two steps, so the state is whole
        if progress:
            save(step)
        raise
    average.swap(model)
    model.eval()


def train_vae(
    vae: VAE, preset: Preset, seed: int = 0, progress: Path | None = None
) -> Iterator[Record]:
    """Teach a VAE to compress clips: log MSE + β·KL, yielding a `Record` a step.

    The logarithm of each clip's squared error is its PSNR but for a factor, so we train what we
    measure; a little of the KL divergence keeps the latents smooth enough to be generated. Our
    choice: |x̂−x| + |x̂−x|² came out behind it (NOTES.md).

    Args:
        vae: trained in place, on the device it is on; its latents' statistics are set at the end.
        preset: of `PRESETS["vae"]`.
        seed: of the draws.
        progress: see `loop`.
    """
    device = next(vae.parameters()).device
    clips = pixels(preset.sizes[0])
    unseen = pixels(replace(preset.sizes[0], count=preset.checked), first=UNSEEN)

    def loss_of(step: int) -> Tensor:
        rng = np.random.default_rng([seed, step])
        picks = np.sort(rng.choice(len(clips), preset.batch, replace=False))
        x = frames_to_tensor(clips[picks]).to(device)
        x = x.flip(-1) if step % 2 else x  # a mirrored world is as good
        generator = torch.Generator().manual_seed(seed + step)
        noise = torch.randn(latent_shape(vae, x), generator=generator)
        return vae_loss(vae, x, preset.beta, noise.to(device))

    yield from loop(vae, preset, loss_of, lambda: reconstruction(vae, unseen), progress)
    vae.calibrate(frames_to_tensor(clips[: min(len(clips), 256)]).to(device))


def vae_loss(vae: VAE, x: Tensor, beta: float, noise: Tensor | None = None) -> Tensor:
    """Return the logarithm of the squared error of pixels `b 3 t h w`, and β times the KL."""
    with autocast(x.device):
        y, mean, log_variance = vae(x, noise)
    error = (y.float() - x).square().flatten(1).mean(1)
    return error.log().mean() + beta * kl_divergence(mean, log_variance)


def latent_shape(vae: VAE, x: Tensor) -> tuple[int, ...]:
    """Return the shape of the latents of pixels `b c t h w`."""
    b, _, t, h, w = x.shape
    return b, vae.config.channels, (t + 3) // 4, h // 8, w // 8


@torch.no_grad()
def reconstruction(vae: VAE, clips: np.ndarray, batch: int = 16) -> float:
    """Return the mean PSNR in dB of clips (uint8 `n t h w c`) compressed and decompressed."""
    device = next(vae.parameters()).device
    scores = []
    for i in range(0, len(clips), batch):
        x = frames_to_tensor(clips[i : i + batch]).to(device)
        with autocast(device):
            y = vae.decode(vae.encode(x))
        scores.append(psnr(y.float(), x))
    return torch.cat(scores).mean().item()
