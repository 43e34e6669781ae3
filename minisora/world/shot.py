"""A shot: everything that a camera sees, as plain arrays, and how grounds and skies look."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# ground: two colours, waves per unit along x and z, how hard the edge between the two is
GROUNDS = {
    "checkered": ((0.88, 0.87, 0.84), (0.34, 0.36, 0.40), (0.5, 0.5), 9.0),
    "sand": ((0.87, 0.75, 0.53), (0.78, 0.64, 0.42), (0.13, 0.45), 1.0),
    "grass": ((0.42, 0.62, 0.27), (0.27, 0.47, 0.19), (0.55, 0.40), 1.2),
    "snow": ((0.95, 0.96, 0.98), (0.82, 0.86, 0.92), (0.17, 0.24), 1.0),
}
# sky: zenith, horizon, direction to the light, its colour, ambient light, sight in units
SKIES = {
    "day": ((0.3, 0.55, 0.9), (0.78, 0.88, 0.97), (-0.5, 0.85, 0.45), (0.72, 0.7, 0.64), 0.42, 40),
    "sunset": (
        (0.36, 0.3, 0.55),
        (0.98, 0.62, 0.36),
        (0.8, 0.5, 0.3),
        (0.72, 0.57, 0.42),
        0.42,
        40,
    ),
    "night": ((0.02, 0.03, 0.1), (0.1, 0.13, 0.26), (0.45, 0.8, 0.4), (0.4, 0.46, 0.6), 0.26, 30),
    "fog": ((0.74, 0.76, 0.79), (0.80, 0.82, 0.84), (-0.2, 1.0, 0.3), (0.4, 0.4, 0.4), 0.54, 18),
}
for name, (zenith, horizon, light, *rest) in SKIES.items():
    SKIES[name] = (zenith, horizon, tuple(v / math.hypot(*light) for v in light), *rest)


@dataclass(frozen=True)
class Shot:
    """Everything a camera sees, as arrays over t frames and o objects; lengths in world units.

    x points right, y up, z towards the camera's place in the first frame; the ground is y = 0.
    """

    eye: np.ndarray  # t 3, where the camera is
    axes: np.ndarray  # t 3 3, rows: the camera's right, up and forward, unit vectors
    spread: float  # tangent of half the angle of view along the shorter side
    shapes: tuple[str, ...]  # o names
    radii: np.ndarray  # o
    colors: np.ndarray  # o 3 in [0, 1]
    marks: np.ndarray  # o 3 in [0, 1], the stripe
    centers: np.ndarray  # t o 3
    rotations: np.ndarray  # t o 3 3, local to world
    bites: np.ndarray  # t o, radius of the piece that is missing, 0 where nothing is
    bite_centers: np.ndarray  # o 3, in the object's local frame
    trails: np.ndarray  # o, half width of the painted trail, 0 for none
    trail_starts: np.ndarray  # o 2, x and z where the paint begins
    ground: str
    sky: str

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.eye)
