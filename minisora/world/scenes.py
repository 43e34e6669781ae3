"""Scenes: what objects, motions, cameras and places there are, as small frozen records."""

from __future__ import annotations

from dataclasses import dataclass

from minisora.world import captions
from minisora.world.shapes import CUBE, DRUM, DRUM_HEIGHT

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
SIZES = {"small": 0.52, "large": 0.9}  # radius in world units
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
    distance: float = 5.3
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
    return (c + 4 * s + 8 * m) % 11 == 0
