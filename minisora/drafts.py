"""Drafts: what a prompt has said of one thing so far, and what it still may be."""

from __future__ import annotations

from dataclasses import dataclass, field

from minisora.thesaurus import Tag
from minisora.world.scenes import CAMERAS, COLORS, MOTIONS, SHAPES, SIZES
from minisora.world.shot import GROUNDS, SKIES

TRAILS = frozenset({"trail left", "trail right"})
MOVES = frozenset(MOTIONS) - {"trail"} | TRAILS
ALL = dict(shape=SHAPES, color=COLORS, size=SIZES, motion=MOVES, ground=GROUNDS, sky=SKIES)
NAMES = {value: name for name, values in ALL.items() for value in values}
ALL = {name: frozenset(values) for name, values in [*ALL.items(), ("camera", CAMERAS)]}


@dataclass(eq=False)
class Draft:
    """What has been said of one object, or of the place and the camera."""

    left: dict[str, frozenset[str]] = field(default_factory=dict)  # what it still may be
    said: dict[str, list[Tag]] = field(default_factory=dict)  # by which words
    partner: Draft | None = None  # what it circles or passes behind
    loose: bool = False  # no noun has named it yet
    owed: bool = False  # "circles the cube": what the cube is and does may still come

    def may(self, wanted: dict[str, frozenset[str]]) -> bool:
        """Return whether it still can be what is wanted."""
        return all(self.left.get(name, ALL[name]) & values for name, values in wanted.items())

    def is_a(self, wanted: dict[str, frozenset[str]]) -> bool:
        """Return whether it has been said to be what is wanted."""
        return all(self.left.get(name, ALL[name]) <= v < ALL[name] for name, v in wanted.items())
