"""The policy's rules: which concepts are refused together, how near, and what excuses them."""

from __future__ import annotations

import re
from typing import NamedTuple

from minisora.disguise import Text

AFTER, NEAR, FAR = 4, 10, 40  # words
PLACED = {  # what follows is where, not what: naked on the lawn
    *"on in near under behind beside auf im sur dans en sobre na no su nel nella".split()
}


class Hit(NamedTuple):
    """A concept found in a text, from word `start` up to `end`."""

    concept: str
    language: str
    start: int
    end: int
    touched: frozenset[int]  # its words without those in a gap


class Rule(NamedTuple):
    """Concepts that are refused together."""

    category: str
    name: str
    concepts: tuple[str, ...]
    reach: int
    unless: tuple[str, ...]  # an excuse if near the first
    objects: tuple[str, ...]  # an excuse if it follows the first

    @classmethod
    def parse(cls, line: str) -> Rule:
        """Read a line of `rules.txt`."""
        head, body = (part.strip() for part in line.split(":"))
        category, name = (part.strip() for part in head.split("/"))
        concepts = tuple(re.findall(r"\w+", body.split("!")[0]))
        unless, objects = (tuple(re.findall(rf"\s{sign} (\w+)", body)) for sign in ("!", "!!"))
        return cls(category, name, concepts, FAR if "&&" in body else NEAR, unless, objects)

    def broken(self, hits: dict[str, list[Hit]], text: Text) -> list[Hit] | None:
        """Return the hits that break it."""

        def near(a: Hit, b: Hit, reach: int) -> bool:
            first, last = min(a.end, b.end) - 1, max(a.start, b.start)
            return text.places[last] - text.places[first] <= reach

        def beside(a: Hit, b: Hit, reach: int) -> bool:  # in a story: in the same sentence
            between = range(min(a.end, b.end), max(a.start, b.start) + 1)
            return near(a, b, reach) and (len(text.begins) < 3 or not text.begins & {*between})

        def excused(hit: Hit) -> bool:
            around = (beside(hit, e, NEAR) for name in self.unless for e in hits.get(name, ()))
            after = (e for name in self.objects for e in hits.get(name, ()) if e.start >= hit.end)
            objects = (e for e in after if PLACED.isdisjoint(text.words[hit.end : e.start]))
            return any(around) or any(beside(hit, e, AFTER) for e in objects)

        for first in hits.get(self.concepts[0], ()):
            found = [first]
            for concept in self.concepts[1:]:
                found += [
                    hit
                    for hit in hits.get(concept, ())
                    if near(first, hit, self.reach)
                    and not first.touched & hit.touched
                    and (hit.language == first.language or not first.language)
                ][:1]
            if len(found) == len(self.concepts) and not excused(first):
                return found
        return None
