"""Training the diffusion transformer: what a step draws, what it asks, what it is scored by.

Three things make a small training go far. It begins with images alone, four times as many captions
a step for the same work. Most patches skip the middle of the network at first. And each patch is
asked which object it shows. Together they are worth about half of the training (NOTES.md).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from einops import reduce
from torch import Tensor

from minisora import flow
from minisora.data import Batch, Bucket, bucket, buckets
from minisora.device import autocast
from minisora.dit import DiT
from minisora.judge import labels, local_loss
from minisora.patches import Patch, grid_of
from minisora.presets import Preset
from minisora.text import batch_tokens, tokenize
from minisora.train import UNSEEN, Record, loop
from minisora.vae import VAE


def train_dit(
    dit: DiT, vae: VAE, preset: Preset, seed: int = 0, progress: Path | None = None
) -> Iterator[Record]:
    """Teach a diffusion transformer to make latents from captions, yielding a `Record` a step.

    Args:
        dit: trained in place, on the device it is on.
        vae: compresses the clips (its own work is done).
        preset: of `PRESETS["dit"]`.
        seed: of the draws.
        progress: see `loop`.
    """
    device = next(dit.parameters()).device
    filmed = buckets(vae, preset.sizes)
    unseen = bucket(vae, replace(preset.sizes[0], count=preset.checked), UNSEEN)

    def loss_of(step: int) -> Tensor:
        return dit_loss(dit, draw_batch(filmed, preset, seed, step), preset, device, seed, step)

    yield from loop(dit, preset, loss_of, lambda: unseen_loss(dit, unseen, device), progress)


def draw_batch(buckets: list[Bucket], preset: Preset, seed: int, step: int) -> Batch:
    """Draw a step's clips of one size, or images alone: at first always, later now and then."""
    rng = random.Random(f"{seed} {step}")
    chosen = rng.choices(buckets, [b.share for b in buckets])[0]
    if rng.random() >= preset.images and step >= preset.still * preset.steps:
        return chosen.draw(preset.batch, rng, preset.levels)
    return chosen.draw(preset.batch * 4, rng, preset.levels).images()


def draw_kept(grid: tuple[int, int, int], share: int, generator: torch.Generator) -> Tensor | None:
    """Draw which patches of each frame the middle blocks see, int64 `t k`; None: all of them.

    One in `share`, so steps are cheaper, and what a few patches know must be enough for the others
    (TREAD, Krause et al. 2025, arXiv 2501.04765).
    """
    t, patches = grid[0], grid[1] * grid[2]
    if share == 1:
        return None
    return torch.rand(t, patches, generator=generator).topk(max(1, patches // share)).indices


def dit_loss(dit: DiT, batch: Batch, preset: Preset, device, seed: int, step: int) -> Tensor:
    """Return the loss of one batch, with captions dropped and frames given as the preset says."""
    z, texts, starts, cells, sources = batch
    rng = random.Random(f"{seed} {step} words")
    generator = torch.Generator().manual_seed(1_000_003 * seed + step)
    tokens = [None if rng.random() < preset.drop else tokenize(t, 0.02, rng) for t in texts]
    tau = flow.draw_tau(len(z), generator)
    given = flow.draw_given(len(z), z.shape[2], preset.given, generator)
    haze = flow.draw_haze(len(z), generator)
    noise = torch.randn(z.shape, generator=generator)
    share = preset.kept[len(preset.kept) * step // preset.steps] if dit.config.depth > 2 else 1
    kept = draw_kept(grid_of(z.shape, dit.config.patch), share, generator)
    answers = []

    def model(*inputs: Tensor) -> Tensor:
        v, hints = dit(*inputs, kept=None if kept is None else kept.to(device), hints=True)
        answers.append(hints)
        return v

    weight = torch.where(cells >= 0, preset.objects, 1.0)
    drawn = z, batch_tokens(tokens), tau, given, noise, starts, haze, weight
    moved = [a.to(device) for a in drawn]
    with autocast(device):
        loss = flow.loss(model, *moved)
    cells = by_patch(cells, dit.config.patch, kept)
    return loss + preset.hints * hint_loss(answers[0], cells, sources)


def by_patch(cells: Tensor, patch: Patch, kept: Tensor | None) -> Tensor:
    """Return the object in each patch, `b n`, of the objects in cells `b t h w` (−1: none)."""
    sizes = dict(zip("pqr", patch, strict=True))
    cells = reduce(cells, "b (t p) (h q) (w r) -> b t (h w)", "max", **sizes)
    if kept is not None:
        cells = cells[:, torch.arange(cells.shape[1])[:, None], kept]
    return cells.flatten(1)


def hint_loss(hints: Tensor, cells: Tensor, sources: list) -> Tensor | float:
    """Return how badly each patch knows the object in it, in nats; 0 where no scene is known.

    A squared error hardly pays for knowing shapes: where there is noise enough for them to be
    open, they change few numbers. REPA (Yu et al. 2024, arXiv 2410.06940) asks the middle of the
    network for a large network's features; we have the film studio's truth.
    """
    filmed = [i for i, source in enumerate(sources) if not isinstance(source, str)]
    if not filmed:
        return 0.0
    truth = {k: v.to(hints.device) for k, v in labels([sources[i] for i in filmed]).items()}
    return local_loss(hints[filmed].float(), truth, cells[filmed].to(hints.device))


@torch.no_grad()
def unseen_loss(dit: DiT, unseen: Bucket, device, batch: int = 64) -> float:
    """Return the loss on unseen clips with full captions, at the same noise every time."""
    dit.eval()
    losses = []
    for i in range(0, len(unseen.latents), batch):
        z = unseen.latents[i : i + batch].float()
        tau = (torch.arange(len(z)) + 0.5) / len(z)
        noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(i))
        tokens = [tokenize(scene.caption) for scene in unseen.captions[i : i + batch]]
        given = torch.zeros(len(z), z.shape[2], dtype=torch.bool)
        z, tau, given, noise = (a.to(device) for a in (z, tau, given, noise))
        with autocast(device):
            losses.append(flow.loss(dit, z, batch_tokens(tokens, device), tau, given, noise).item())
    return sum(losses) / len(losses)
