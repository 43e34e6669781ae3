"""Scenes: objects, motions, cameras, and the truth behind them.

A scene is a small frozen record; where everything is at any moment follows from it in closed
form (gravity, friction and circles), so a clip of any duration, size and frame rate can be filmed
of it, and the truth of every frame is known exactly.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

import numpy as np

from minisora.video import Video
from minisora.world import captions
from minisora.world.render import CUBE, DRUM, DRUM_HEIGHT, GROUNDS, SKIES, Shot, trace, visible

COLORS = {
    "red": (0.85, 0.12, 0.12),
    "orange": (0.97, 0.52, 0.08),
    "yellow": (0.96, 0.86, 0.12),
    "green": (0.10, 0.62, 0.22),
    "cyan": (0.15, 0.80, 0.85),
    "blue": (0.12, 0.25, 0.85),
    "purple": (0.52, 0.16, 0.68),
    "white": (0.97, 0.97, 0.97),
}
SHAPES = ("sphere", "cube", "cylinder", "cone", "ring")
SIZES = {"small": 0.55, "large": 0.85}  # radius in world units
ROUND = ("sphere", "cylinder")
MOTIONS = {  # which shapes can do it
    "still": SHAPES,
    "bounces": SHAPES,
    "slides left": SHAPES,
    "slides right": SHAPES,
    "rolls towards": ROUND,
    "rolls away": ROUND,
    "spins": SHAPES,
    "falls": SHAPES,
    "circles": SHAPES,
    "passes behind": SHAPES,
    "trail": ("sphere", "cylinder", "ring"),
    "bitten": ("sphere", "cube", "cylinder", "cone"),
}
PARTNERED = ("circles", "passes behind")  # these need another object
CAMERAS = tuple(captions.CAMERAS)
GRAVITY = 6.0  # units per second squared: a toy's world, slow enough for 8 frames a second
BOUNCE = 0.8  # speed kept at each bounce


@dataclass(frozen=True)
class Thing:
    """One object of a scene and how it moves."""

    shape: str
    color: str
    size: str
    motion: str
    x: float = 0.0  # the middle of its path on the ground
    z: float = 0.0
    way: int = 1  # -1 left, +1 right (also the sense of spins and circles)
    pace: float = 1.0  # speed factor, 0.8 to 1.25
    height: float = 1.6  # where a fall or a bounce begins
    turn: float = 0.0  # heading at the start, radians about the vertical axis
    partner: int | None = None  # index of the other object

    @property
    def radius(self) -> float:
        """Its radius in world units."""
        return SIZES[self.size]

    @property
    def rest(self) -> float:
        """Height of its centre when it stands (or lies, if it rolls) on the ground."""
        lying = self.motion in ("rolls towards", "rolls away", "trail")
        drum = DRUM if lying else DRUM_HEIGHT
        return self.radius * {"cube": CUBE, "cylinder": drum}.get(self.shape, 1.0)


@dataclass(frozen=True)
class Camera:
    """Where the camera stands and how it moves; it always looks at the middle of the stage."""

    motion: str = "still"
    azimuth: float = 0.0  # radians, 0 is in front
    distance: float = 6.6
    height: float = 2.4
    pace: float = 1.0


@dataclass(frozen=True)
class Scene:
    """Objects on a ground under a sky, seen by a camera."""

    objects: tuple[Thing, ...]
    camera: Camera = Camera()
    ground: str = "checkered"
    sky: str = "day"
    seed: int | None = None

    @property
    def caption(self) -> str:
        """The canonical, most detailed caption."""
        return captions.describe(self)


def held_out(color: str, shape: str, motion: str) -> bool:
    """Say whether a combination belongs to the held-out split and so to no training clip."""
    c, s, m = list(COLORS).index(color), SHAPES.index(shape), list(MOTIONS).index(motion)
    return (3 * c + 4 * s + 2 * m) % 11 == 0


def glide(t: np.ndarray, seconds: float) -> np.ndarray:
    """Return the share of its way that an object slowed by friction has gone, 0 to 1."""
    s = np.clip(t / seconds, 0, 1)
    return 2 * s - s * s


def drop(t: np.ndarray, height: float, keep: float) -> np.ndarray:
    """Return the height above rest of something let go at `height`, keeping `keep` of its speed."""
    fall, speed = math.sqrt(2 * height / GRAVITY), math.sqrt(2 * height * GRAVITY)
    y = np.where(t < fall, height - 0.5 * GRAVITY * t * t, 0.0)
    start, speed = fall, speed * keep
    while speed > 0.3:
        flight = 2 * speed / GRAVITY
        s = t - start
        y = np.where((s >= 0) & (s < flight), speed * s - 0.5 * GRAVITY * s * s, y)
        start, speed = start + flight, speed * keep
    return y


def rotation(axis: str, angle: np.ndarray) -> np.ndarray:
    """Return rotation matrices (t 3 3) about a world axis; angles in radians."""
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    out = np.tile(np.eye(3), (len(angle), 1, 1))
    out[:, i, i] = out[:, j, j] = np.cos(angle)
    out[:, j, i] = np.sin(angle)
    out[:, i, j] = -out[:, j, i]
    return out


def pose(scene: Scene, k: int, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where object k is at the times t (seconds).

    Returns:
        centres `t 3`, rotations `t 3 3` (local to world) and the radius of its missing piece `t`.
    """
    thing = scene.objects[k]
    motion, r, way, pace = thing.motion, thing.radius, thing.way, thing.pace
    zero = np.zeros_like(t)
    x, y, z, bite = thing.x + zero, thing.rest + zero, thing.z + zero, zero
    turn = rotation("y", zero + thing.turn)
    if motion in ("bounces", "falls"):
        # a fall begins a moment later, so that its height can be seen
        start = 0.0 if motion == "bounces" else 0.3 / pace
        y = y + drop(np.clip(t - start, 0, None), thing.height, BOUNCE if motion == "bounces" else 0.0)
    elif motion in ("slides left", "slides right"):
        way = -1 if motion == "slides left" else 1
        x = x + way * pace * 2.6 * (glide(t, 2.6) - 0.5)
    elif motion in ("rolls towards", "rolls away"):
        way = 1 if motion == "rolls towards" else -1
        path = pace * 3.2 * glide(t, 2.8)
        z = z + way * (path - pace * 1.6)
        turn = rotation("x", way * path / thing.rest) @ lying(thing.shape, "x", t)
    elif motion == "trail":
        path = pace * 3.0 * glide(t, 2.8)
        x = x + way * (path - pace * 1.5)
        turn = rotation("z", -way * path / thing.rest) @ lying(thing.shape, "z", t)
    elif motion == "spins":
        turn = rotation("y", thing.turn + way * pace * 2.6 * t)
    elif motion == "circles":
        centre = scene.objects[thing.partner]
        angle = thing.turn + way * pace * 1.7 * t
        reach = 0.5 + r + centre.radius
        x, z = centre.x + reach * np.cos(angle), centre.z + reach * np.sin(angle)
    elif motion == "passes behind":
        centre = scene.objects[thing.partner]
        x = centre.x + way * pace * 3.4 * (glide(t, 2.8) - 0.62)
        z = zero + centre.z - centre.radius - r - 0.15
    elif motion == "bitten":
        bite = np.select([t >= 1.2 / pace, t >= 0.55 / pace], [0.8 * r, 0.6 * r], 0.0)
    return np.stack([x, y, z], 1), turn, bite


def lying(shape: str, axis: str, t: np.ndarray) -> np.ndarray:
    """Return the rotation that lays a shape on its side, ready to roll about a world axis."""
    if shape == "cylinder":  # its own axis is y
        return rotation("z" if axis == "x" else "x", np.full_like(t, math.pi / 2))
    return rotation("y", np.full_like(t, 0.3 if axis == "x" and shape == "sphere" else 0.0))


def film_camera(camera: Camera, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the camera's place (t 3) and its right, up and forward axes (t 3 3) at times t."""
    zero = np.zeros_like(t)
    azimuth, distance, height = camera.azimuth + zero, camera.distance + zero, camera.height + zero
    ease = glide(t, 3.0)
    if camera.motion.startswith("orbits"):
        azimuth = azimuth + (-1 if camera.motion == "orbits left" else 1) * 0.42 * camera.pace * t
    elif camera.motion == "zooms in":
        distance = distance * (1.12 - 0.5 * ease)
    elif camera.motion == "zooms out":
        distance = distance * (0.7 + 0.5 * ease)
    elif camera.motion == "rises":
        height = height - 0.9 + 3.4 * camera.pace * ease
    eye = np.stack([distance * np.sin(azimuth), height, distance * np.cos(azimuth)], 1)
    forward = np.array([0.0, 0.85, 0.0]) - eye
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    return eye, np.stack([right, np.cross(right, forward), forward], 1)


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
    centers, turns, bites = zip(*(pose(scene, k, t) for k in range(len(scene.objects))), strict=True)
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


def bite_place(thing: Thing) -> list[float]:
    """Return where a bite is centred, in the object's own frame: an upper side, facing front."""
    x, z = thing.way * 0.75, 0.45
    c, s = math.cos(thing.turn), math.sin(thing.turn)  # undo its heading
    return [thing.radius * v for v in (c * x - s * z, 0.4, s * x + c * z)]


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
    source = {"made by": "minisora ray tracer", "caption": scene.caption, "seed": scene.seed}
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


def apart(scene: Scene) -> bool:
    """Say whether the objects never run into each other in the first four seconds."""
    t = np.arange(0, 4, 0.125)
    paths = [pose(scene, k, t)[0] for k in range(len(scene.objects))]
    for i, a in enumerate(paths):
        for j in range(i):
            gap = np.linalg.norm((a - paths[j])[:, ::2], axis=1).min()
            if gap < 0.95 * (scene.objects[i].radius + scene.objects[j].radius):
                return False
    return True


def shown(scene: Scene, frames: int = 9) -> bool:
    """Say whether everything that the caption names can be seen well enough.

    At least 60 pixels of a 64x64 picture in half of the frames of two seconds; something that
    hides behind another object must show in a fifth of them.
    """
    seen = visible(shoot(scene, frames, fps=(frames - 1) / 2), 32, 32, samples=1)
    share = (seen * 4 >= 60).mean(0)
    hides = [o.motion == "passes behind" for o in scene.objects]
    return bool((share >= np.where(hides, 0.2, 0.5)).all())


def sample_thing(rng: random.Random, split: str, first: bool, colors: list[str], motions: list[str]) -> Thing:
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
        height=rng.uniform(1.2, 1.9),
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
        wide = 0.5 if count == 1 else 1.7
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
            distance=rng.uniform(6.2, 7.0),
            height=rng.uniform(2.0, 2.8),
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
