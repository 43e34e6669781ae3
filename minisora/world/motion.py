"""Motions: where everything is at any moment, in closed form (gravity, friction and circles).

So a clip of any duration and frame rate can be filmed, and the truth of every frame is exact.
"""

from __future__ import annotations

import math

import numpy as np

from minisora.world.scenes import Camera, Scene, Thing

GRAVITY = 6.0  # units per second squared: a toy's world, slow enough for 8 frames a second
BOUNCE = 0.8  # speed kept at each bounce


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
        y = y + drop(
            np.clip(t - start, 0, None), thing.height, BOUNCE if motion == "bounces" else 0.0
        )
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
        z = zero + centre.z - centre.radius - r - 0.3
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


def bite_place(thing: Thing) -> list[float]:
    """Return where a bite is centred, in the object's own frame: an upper side, facing front."""
    thin = thing.shape == "cone"  # above: its bite is lower and nearer to its axis
    x, y, z = (thing.way * 0.6, -0.15, 0.36) if thin else (thing.way * 0.75, 0.4, 0.45)
    c, s = math.cos(thing.turn), math.sin(thing.turn)  # undo its heading
    return [thing.radius * v for v in (c * x - s * z, y, s * x + c * z)]
