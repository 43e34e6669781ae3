"""Sampling scenes of a split, so that everything that a caption names can be seen."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np

from minisora.world.film import shoot
from minisora.world.motion import pose
from minisora.world.render import visible
from minisora.world.scenes import (
    CAMERAS,
    COLORS,
    MOTIONS,
    PARTNERED,
    SIZES,
    Camera,
    Scene,
    Thing,
    held_out,
)
from minisora.world.shot import GROUNDS, SKIES


def apart(scene: Scene) -> bool:
    """Say whether the objects never touch in the first four seconds (1.14: a cube's corners)."""
    t = np.arange(0, 4, 0.125)
    paths = [pose(scene, k, t)[0] for k in range(len(scene.objects))]
    for i, a in enumerate(paths):
        for j in range(i):
            gap = np.linalg.norm((a - paths[j])[:, ::2], axis=1).min()
            if gap < 1.14 * (scene.objects[i].radius + scene.objects[j].radius):
                return False
    return True


def shown(scene: Scene, frames: int = 5) -> bool:
    """Say whether everything that the caption names can be seen well enough.

    At least 60 pixels of a 64x64 picture in half of the frames of two seconds; something that
    hides behind another object must show in a fifth of them.
    """
    seen = visible(shoot(scene, frames, fps=(frames - 1) / 2), 32, 32, samples=1)
    share = (seen * 4 >= 60).mean(0)
    hides = [o.motion == "passes behind" for o in scene.objects]
    return bool((share >= np.where(hides, 0.2, 0.5)).all())


def sample_thing(
    rng: random.Random, split: str, first: bool, colors: list[str], motions: list[str]
) -> Thing:
    """Draw one object whose combination belongs to the split; only the first is held out."""
    while True:
        motion = rng.choice(motions)
        color, shape = rng.choice(colors), rng.choice(MOTIONS[motion])
        if held_out(color, shape, motion) == (split == "heldout" and first):
            break
    return Thing(
        shape=shape,
        color=color,
        size=rng.choice(list(SIZES)),
        motion=motion,
        way=rng.choice((-1, 1)),
        pace=rng.uniform(0.8, 1.25),
        height=rng.uniform(1.0, 1.6),
        turn=rng.uniform(-0.6, 0.6),
    )


def propose(rng: random.Random, split: str, count: int) -> Scene:
    """Draw a scene without looking whether it works out."""
    solo = [m for m in MOTIONS if m not in PARTNERED]
    things: list[Thing] = []
    for k in range(count):
        colors = [c for c in COLORS if c not in [o.color for o in things]]
        paired = k == 0 and count > 1  # the first object may need the second
        thing = sample_thing(rng, split, k == 0, colors, list(MOTIONS) if paired else solo)
        wide = 0.4 if count == 1 else 1.5
        thing = replace(thing, x=rng.uniform(-wide, wide), z=rng.uniform(-1.0, 1.0) * wide * 0.7)
        things.append(thing)
    camera = rng.choice(CAMERAS)
    if things[0].motion in PARTNERED:
        behind = things[0].motion == "passes behind"
        other = things[1]
        calm = [m for m in ("still", "spins") if not held_out(other.color, other.shape, m)]
        things[0] = replace(things[0], partner=1, size="small" if behind else things[0].size)
        size = "large" if behind else other.size
        place = dict(x=rng.uniform(-0.4, 0.4), z=rng.uniform(-0.2, 0.5) + 0.4 * behind)
        things[1] = replace(other, motion=rng.choice(calm), size=size, **place)
        if behind:  # what is behind depends on where the camera stands
            camera = rng.choice(("still", "zooms in", "zooms out"))
    return Scene(
        objects=tuple(things),
        camera=Camera(
            camera,
            azimuth=rng.uniform(-0.15, 0.15),
            distance=rng.uniform(5.0, 5.6),
            height=rng.uniform(1.7, 2.4),
            pace=rng.uniform(0.85, 1.2),
        ),
        ground=rng.choice(list(GROUNDS)),
        sky=rng.choice(list(SKIES)),
    )


def sample_scene(seed: int, split: str = "train", objects: int | None = None) -> Scene:
    """Draw a scene in which everything that the caption names can be seen.

    Args:
        seed: the same seed always gives the same scene.
        split: "train", or "heldout": the first object's (colour, shape, motion) is one that no
            training clip shows, nor does any other object of either split.
        objects: 1 to 3; None draws the number (half of the scenes have one object).

    Raises:
        ValueError: an unknown split or number of objects.
    """
    if split not in ("train", "heldout"):
        raise ValueError(f"split {split!r} is not 'train' or 'heldout'")
    if objects not in (None, 1, 2, 3):
        raise ValueError(f"a scene has 1, 2 or 3 objects, not {objects}")
    rng = random.Random(f"{split} {objects} {seed}")
    count = objects or rng.choice((1, 1, 1, 2, 2, 3))
    while True:
        scene = propose(rng, split, count)
        if apart(scene) and shown(scene):
            return replace(scene, seed=seed)
