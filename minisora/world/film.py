"""Filming: from a scene to its shot, its pixels, and the truth behind them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from minisora.video import Video
from minisora.world.motion import bite_place, film_camera, pose
from minisora.world.render import trace, visible
from minisora.world.scenes import COLORS, Scene
from minisora.world.shot import Shot


def shoot(scene: Scene, frames: int, fps: float = 8.0, start: float = 0.0) -> Shot:
    """Work out the truth of a scene, frame by frame, ready to be filmed.

    Args:
        scene: the scene.
        frames: how many.
        fps: frames a second.
        start: seconds into the scene at the first frame.
    """
    t = start + np.arange(frames) / fps
    eye, axes = film_camera(scene.camera, t)
    centers, turns, bites = zip(
        *(pose(scene, k, t) for k in range(len(scene.objects))), strict=True
    )
    things, rgb = scene.objects, np.array([COLORS[o.color] for o in scene.objects])
    dark = np.array([[o.color in ("white", "yellow", "cyan")] for o in things])
    begin = [pose(scene, k, np.zeros(1))[0][0] for k in range(len(things))]
    return Shot(
        eye=eye,
        axes=axes,
        spread=math.tan(math.radians(21)),
        shapes=tuple(o.shape for o in things),
        radii=np.array([o.radius for o in things]),
        colors=rgb,
        marks=np.where(dark, [[0.15, 0.15, 0.2]], [[0.97, 0.95, 0.9]]),
        centers=np.stack(centers, 1),
        rotations=np.stack(turns, 1),
        bites=np.stack(bites, 1),
        bite_centers=np.array([bite_place(o) for o in things]),
        trails=np.array([0.36 * o.radius if o.motion == "trail" else 0.0 for o in things]),
        trail_starts=np.array([(b[0], b[2]) for b in begin]),
        ground=scene.ground,
        sky=scene.sky,
    )


def render(scene: Scene, frames=17, height=64, width=64, fps=8.0, start=0.0, samples=2) -> Video:
    """Film a scene.

    Args:
        scene: what to film.
        frames, height, width: the clip's size in frames and pixels.
        fps: frames a second.
        start: seconds into the scene at the first frame.
        samples: rays per pixel along each axis.

    Returns:
        A `Video`; its provenance holds the caption and the seed.

    Raises:
        ValueError: a size is not positive.
    """
    if min(frames, height, width, samples) < 1 or fps <= 0:
        raise ValueError(
            f"cannot film {frames} frames of {height}x{width} at {fps} frames a second with "
            f"{samples} samples: all must be positive"
        )
    pixels = trace(shoot(scene, frames, fps, start), height, width, samples)
    source = {"made_by": "minisora ray tracer", "caption": scene.caption, "seed": scene.seed}
    return Video(pixels, fps, source)


@dataclass(frozen=True)
class Truth:
    """What is really to be seen in each frame of a clip; o counts objects."""

    shot: Shot  # poses, bites, trails and the camera
    visible: np.ndarray  # t o, pixels covered by each object (a fraction counts)
    image: np.ndarray  # t o 2, each centre's column and row in pixels
    depth: np.ndarray  # t o, distance from the camera along its forward axis


def truth(scene: Scene, frames=17, height=64, width=64, fps=8.0, start=0.0, samples=2) -> Truth:
    """Return the truth of the clip that `render` films with the same arguments."""
    shot = shoot(scene, frames, fps, start)
    view = np.einsum("tij,toj->toi", shot.axes, shot.centers - shot.eye[:, None])
    scale = min(height, width) / 2 / shot.spread / view[..., 2]
    image = np.stack([width / 2 + view[..., 0] * scale, height / 2 - view[..., 1] * scale], -1)
    return Truth(shot, visible(shot, height, width, samples), image, view[..., 2])
