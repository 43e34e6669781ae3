"""What the weights are worth: `minisora eval` prints figures on the held-out split.

The held-out split's combinations of colour, shape and motion appear in no training clip.
"""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from minisora import data, world
from minisora.device import autocast
from minisora.sora import Sora
from minisora.vae import psnr
from minisora.video import Video
from minisora.viz import contact_sheet, grid_video

HERO = (  # the moving picture at the top of the README, row by row
    "a red sphere bounces on a checkered floor, the camera orbits left",
    "a large blue cube spins on grass by day, the camera zooms in",
    "a purple ring rolls right leaving a painted trail on snow",
    "a large yellow cone is bitten on sand at sunset",
    "a green ball circles the white cube on a checkered floor at night",
    "an orange cylinder falls and lands on grass in the fog",
    "a cyan sphere rolls towards the camera on sand by day",
    "a white cube slides left on snow at sunset, the camera rises",
)


def compress_held_out(sora: Sora, count: int = 500) -> Tensor:
    """Return each held-out clip's PSNR in dB after compression, float `count`."""
    scores = []
    for _, clip in tqdm(data.film(count, "heldout"), "held-out clips", count, unit="clip"):
        x = clip.to_tensor()[None].to(sora.device)
        with torch.no_grad(), autocast(sora.device):
            scores.append(psnr(sora.vae.decode(sora.vae.encode(x)).float(), x).cpu())
    return torch.cat(scores)


def held_out_videos(sora: Sora, count: int = 24, seed: int = 0, **options) -> list[Video]:
    """Generate a video from the caption of each of the first held-out scenes of one object."""
    videos = []
    for i in tqdm(range(count), "held-out prompts", unit="video"):
        scene = world.sample_scene(i, "heldout", objects=1)
        videos.append(sora.generate(world.describe(scene), seed=seed + i, **options))
    return videos


def sheet(sora: Sora, path: Path, count: int = 24, **options) -> Figure:
    """Save a contact sheet of videos made from held-out prompts, for the eye to judge."""
    videos = held_out_videos(sora, count, **options)
    figure = contact_sheet(videos, [v.caption for v in videos], columns=3)
    figure.savefig(path, dpi=110)
    return figure


def hero(sora: Sora, path: Path, seed: int = 0) -> None:
    """Save the moving picture of the README: eight videos side by side."""
    videos = [sora.generate(prompt, seed=seed) for prompt in HERO]
    grid_video(videos, columns=4).save(path, scale=2)
