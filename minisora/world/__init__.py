"""A small 3-D world: the training set, the ground truth, and the course's film studio."""

from minisora.world.captions import describe
from minisora.world.film import Truth, render, truth
from minisora.world.sample import sample_scene
from minisora.world.scenes import Camera, Scene, Thing, held_out

__all__ = [
    "Camera",
    "Scene",
    "Thing",
    "Truth",
    "describe",
    "held_out",
    "render",
    "sample_scene",
    "truth",
]
