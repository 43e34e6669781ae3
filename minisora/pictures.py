"""The pictures of the README, made by the shipped weights: `minisora eval --pictures DIR`."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from tqdm import tqdm

from minisora import world
from minisora.sora import Sora
from minisora.tasks import endless
from minisora.video import Video
from minisora.viz import contact_sheet, filmstrip, grid_video

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
EDITS = "on snow", "at night"
GIVEN = (0, 90, 255)  # the colour of the frame around what is given


def draw(sora: Sora, folder: Path) -> list[Path]:
    """Draw all of them into a folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {"heldout.png": sheet, "hero.gif": hero, "tasks.png": tasks}
    for name, picture in drawn.items():
        picture(sora, folder / name)
    return [folder / name for name in drawn]


def hero(sora: Sora, path: Path) -> None:
    """Save the moving picture at the top: eight videos side by side."""
    grid_video([sora.generate(prompt, seed=0) for prompt in HERO], columns=4).save(path, scale=2)


def sheet(sora: Sora, path: Path, count: int = 24) -> None:
    """Save a contact sheet of videos made from held-out captions, for the eye to judge."""
    videos = []
    for i in tqdm(range(count), "held-out prompts", unit="video"):
        prompt = world.sample_scene(i, "heldout", objects=1).caption
        videos.append(sora.generate(prompt, seed=i))
    contact_sheet(videos, [video.caption for video in videos], columns=3).savefig(path, dpi=110)


def tasks(sora: Sora, path: Path) -> None:
    """Save a strip of each way to prompt with pictures and videos; what is given has a frame."""
    scenes = (world.sample_scene(i, "heldout", objects=1) for i in itertools.count())
    one, other = itertools.islice(filter(endless, scenes), 2)  # held out, and they can go on
    clip, goal = (world.render(scene, frames=17, height=64, width=64) for scene in (one, other))
    about, first, last = one.caption, [*range(17)], [*range(16, 33)]
    made = {
        "filmed": (clip, first),
        "animate": (sora.animate(clip.frames[0], about, frames=33, seed=0), [0]),
        "extend": (sora.extend(clip, about, seed=0), first),
        "extend backward": (sora.extend(clip, about, "backward", seed=0), last),
        "loop": (sora.loop(clip, about, seed=0), first),
        "connect": (sora.connect(clip, goal, other.caption, seed=0), [*first, *range(29, 46)]),
        **{f"edit: {words}": (sora.edit(clip, words, seed=0), []) for words in EDITS},
    }
    rows = [framed(video, given) for video, given in made.values()]
    filmstrip(rows, every=4, labels=[*made], scale=0.8).savefig(path, dpi=90)


def framed(video: Video, given: list[int]) -> Video:
    """Return a video with a line around the frames that were given."""
    frames = video.frames.copy()
    lines = np.ones(frames.shape[1:3], bool)
    lines[2:-2, 2:-2] = False
    for i in given:
        frames[i, lines] = GIVEN
    return Video(frames, video.fps)
