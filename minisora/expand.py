"""Prompt expansion: free wording in, a full caption of the training language out.

Sora's report: "we also leverage GPT to turn short user prompts into longer detailed captions".
Ours is a thesaurus and eleven rules, no network: what the user said is kept, what was left open is
drawn, and what this world cannot show is told.
"""

from __future__ import annotations

import random
import re
import warnings
from dataclasses import replace
from functools import cache

from minisora.drafts import ALL, TRAILS, Draft
from minisora.reader import Reader
from minisora.text import split
from minisora.thesaurus import MOST_WORDS, PARTNER
from minisora.world import Camera, Scene, Thing, held_out
from minisora.world.captions import CAMERAS, GROUNDS, NOUNS, SIZES, SKIES, VERBS, arrange
from minisora.world.scenes import COLORS, MOTIONS

ABLE = MOTIONS | dict.fromkeys(TRAILS, MOTIONS["trail"])  # motion: the shapes that can do it
LOOKS = ("shape", "color", "size")
SLIDES = frozenset({"slides left", "slides right"})


def expand(prompt: str, seed: int = 0, variants: int | None = None, fill: bool = True):
    """Say in the training language what a prompt in free wording means.

    Args:
        prompt: any text. One that the training language can make stays exactly as it is.
        seed: decides what is filled in; every attribute is drawn for itself, so that the shots of
            a storyboard agree in what none of them names.
        variants: how many expansions to return, of the seeds from `seed` on.
        fill: name what the prompt left open; False leaves it out, as where a clip shows it.

    Returns:
        An `Expansion`, or with `variants` a list of them.

    Raises:
        ValueError: there is nothing to read in the prompt.
    """
    split(prompt)
    if variants is not None:
        return [expand(prompt, seed + i, fill=fill) for i in range(variants)]
    plain = sentence().fullmatch(" ".join(prompt.lower().split()).removesuffix("."))
    it = Expansion(prompt, seed, fill and not plain)
    if plain and it.clashes:
        return Expansion(prompt, seed, fill)
    it.caption = prompt if plain or not it.caption else it.caption
    return it


def readings(prompts: list[str], how: bool | str | list[str], seeds, fill: bool = True):
    """Return what the model reads for each prompt: itself, its expansion, or what is given.

    Args:
        prompts: as they were written.
        how: False, True (what the user should know is told by warnings), or the texts to read.
        seeds: of the expansions, one for each prompt.
        fill: as in `expand`.

    Raises:
        ValueError: there are more or fewer texts than prompts.
    """
    if how is True:
        made = [expand(text, seed, fill=fill) for text, seed in zip(prompts, seeds, strict=True)]
        for note in (note for one in made for note in one.notes):
            warnings.warn(note, stacklevel=3)
        return [one.caption for one in made]
    texts = [how] if isinstance(how, str) else list(how or prompts)
    if len(texts) != len(prompts):
        raise ValueError(f"expand has {len(texts)} texts for {len(prompts)} prompts")
    return texts


@cache
def sentence() -> re.Pattern:
    """Return a pattern that the sentences of `describe` match."""

    def one(table: dict[str, list[str]]) -> str:
        return f"(?:{'|'.join(re.escape(text) for row in table.values() for text in row)})"

    name = f"(?:{'|'.join(COLORS)}) {one(NOUNS)}"
    verb = one(VERBS).replace(r"\{partner\}", f"the {name}").replace(r"\{way\}", "(?:left|right)")
    clauses = f"(?:(?:^|, | and )an? (?:{one(SIZES)} )?{name} {verb}){{1,3}}"
    place = f"(?:{one(GROUNDS)}(?: {one(SKIES)})?|{one(SKIES)})"
    camera = f"(?:(?:, | while ){one(CAMERAS)})?"
    return re.compile(f"(?:{place}|{one(CAMERAS)})?{clauses}(?: {place})?{camera}")


class Expansion:
    """A prompt made into a scene: what it leaves open is drawn (`fill`) or else is None.

    Attributes of the second object are "color 2" and so on.

    Attributes:
        prompt: as it was written.
        caption: what the model reads.
        scene: what the caption says, None where it says nothing.
        said: attribute: the phrases that name it.
        taken: attribute: the user's words and what they became.
        filled: attribute: what was drawn.
        lost: words for what this world has not: what was made instead, or "".
        clashes: contradictions and impossible combinations, a sentence each.
    """

    def __init__(self, prompt: str, seed: int = 0, fill: bool = False, hidden: tuple = ()):
        reader = Reader(prompt)
        self.prompt, self.seed, self.fill, self.hidden = prompt, seed, fill, hidden
        self.said, self.taken, self.filled, self.lost = {}, {}, {}, {}
        self.clashes = [*reader.clashes]
        if len(prompt.split()) > MOST_WORDS:
            self.clashes.append(f"only the first {MOST_WORDS} words were read")
        if not (reader.things or reader.place.said):
            self.clashes.append("nothing that this world has was named")
        self.drafts = reader.things or [Draft()] * fill
        for draft in [*self.drafts]:
            self.settle_motion(draft)
        partners = [draft.partner for draft in self.drafts if related(draft)]
        self.drafts.sort(key=lambda draft: (not related(draft), draft not in partners))
        named = [draft.left.get("color", ALL["color"]) for draft in self.drafts]
        self.colors = {color for left in named if len(left) == 1 for color in left}
        things = [self.thing(draft) for draft in self.drafts]
        behind = any(thing.motion == "passes behind" for thing in things)
        calm = {"still", "zooms in", "zooms out"} if behind else ALL["camera"]
        camera = self.choose(reader.place, "camera", calm)
        ground, sky = (self.choose(reader.place, name, ALL[name]) for name in ("ground", "sky"))
        self.scene = Scene(tuple(things), Camera(camera), ground, sky)
        for words, made in reader.lost.items():
            if made in self.drafts:
                thing = replace(things[self.drafts.index(made)], motion=None, partner=None)
                made = tell(Scene((thing,), Camera(None), None, None))
            self.lost.setdefault(words, made if isinstance(made, str) else "")
        self.caption = tell(self.scene)

    @property
    def notes(self) -> list[str]:
        """What the user should know, a line each: what was lost, what does not go together."""
        rows = [f"{a!r}" + (f" ({b} instead)" if b else "") for a, b in self.lost.items()]
        return [f"not in this world: {', '.join(rows)}"] * bool(rows) + self.clashes

    def __repr__(self) -> str:
        rows = {"taken": self.taken, "filled in": self.filled}.items()
        told = [f"{k}: {', '.join(map(' '.join, d.items()))}" for k, d in rows if d]
        return "\n  ".join([self.caption, *told, *self.notes])

    def settle_motion(self, draft: Draft) -> None:
        """Find what a draft may do, as its shape can, and with whom."""
        motions, shapes = (draft.left.get(name, ALL[name]) for name in ("motion", "shape"))
        alone = motions - PARTNER  # "rotates": alone, or around something?
        motions = motions & PARTNER if draft.partner or not alone else alone
        if "motion" in draft.said:  # "moves right": no word of paint
            motions = fits(motions - TRAILS, shapes) or motions
        able = fits(motions, shapes)
        if not able:
            near = {"still"} if motions == {"bitten"} else fits(TRAILS, shapes) or SLIDES
            ways = {motion.split()[-1] for motion in motions}
            able = frozenset(motion for motion in near if motion.split()[-1] in ways) or near
            words = " ".join(tag.words for tag in draft.said["motion"])
            told = f"{words!r} is nothing that a {min(shapes)} does in this world"
            self.clashes.append(f"{told}: {' or '.join(sorted(able))} instead")
        draft.left["motion"] = able
        if related(draft) and draft.partner not in self.drafts:
            others = [other for other in self.drafts if other is not draft] or [Draft()] * self.fill
            draft.partner = others[0] if others else None
            for other in others:
                if other not in self.drafts:
                    self.drafts.append(other)
                    self.settle_motion(other)

    def thing(self, draft: Draft) -> Thing:
        """Return the object that a draft describes."""
        may, seen_by = draft.left["motion"], [d for d in self.drafts if d.partner is draft]
        seen_by = [motion for other in seen_by if related(other) for motion in other.left["motion"]]
        shape = self.choose(draft, "shape", {s for s in ALL["shape"] if fits(may, [s])})
        calm = {"still", "spins"} if seen_by else may
        motion = self.choose(draft, "motion", fits(calm, [shape] if shape else ALL["shape"]))
        way, motion = -1 if motion == "trail left" else 1, "trail" if motion in TRAILS else motion
        colors = ALL["color"] - self.colors
        if shape and motion:  # a combination that the model has learnt, if there is one
            colors = {c for c in colors if not held_out(c, shape, motion)} or colors
        color = self.choose(draft, "color", colors)
        self.colors.add(color)
        hides, hidden = motion == "passes behind", "passes behind" in seen_by
        sizes = {"small"} if hides else {"large"} if hidden else ALL["size"]
        size = self.choose(draft, "size", sizes)
        partner = self.drafts.index(draft.partner) if related(draft) and draft.partner else None
        return Thing(shape, color, size, motion, way=way, partner=partner)

    def choose(self, draft: Draft, name: str, wanted) -> str | None:
        """Return an attribute as it was said, or drawn from what is wanted, and note which."""
        left, tags = draft.left.get(name, wanted), draft.said.get(name, ())
        if draft in self.drafts and len(self.drafts) > 1:
            name = f"{name} {self.drafts.index(draft) + 1}"
        if name in self.hidden or not (tags or self.fill):
            return None
        value = random.Random(f"{self.seed} {name}").choice(sorted(left & wanted or left))
        if tags:
            words = ", ".join(dict.fromkeys(tag.words for tag in tags))
            self.taken[name] = words if words == value else f"{words} → {value}"
            self.said[name], self.lost = tags, self.lost | {t.words: value for t in tags if t.near}
        else:
            self.filled[name] = value
        return value


def fits(motions, shapes) -> frozenset[str]:
    """Return those of the motions that one of the shapes can do."""
    return frozenset(motion for motion in motions if {*ABLE[motion]} & {*shapes})


def related(draft: Draft) -> bool:
    """Say whether a draft circles another thing or passes behind it."""
    return draft.left["motion"] <= PARTNER


def amend(seen: Scene, asked: Scene) -> Scene:
    """Return a scene changed as asked: what `asked` leaves None stays, what cannot be is left open.

    Each object that is asked for changes the one that is most like it.
    """
    things, free = list(seen.objects), set(range(len(seen.objects)))
    if len(asked.objects) > len(things) or any(t.partner is not None for t in asked.objects):
        things = list(asked.objects)
    else:
        for thing in asked.objects:
            named = {n: v for n in LOOKS if (v := getattr(thing, n)) is not None}
            like = {i: sum(getattr(things[i], n) == v for n, v in named.items()) for i in free}
            free.remove(i := max(sorted(free), key=like.get))
            if thing.motion:
                named |= dict(motion=thing.motion, way=thing.way, partner=None)
            new = replace(things[i], **named)
            able = not (new.motion and new.shape) or new.shape in MOTIONS[new.motion]
            things[i] = new if able else replace(new, motion=None, partner=None)
    camera = Camera(asked.camera.motion or seen.camera.motion)
    return Scene(tuple(things), camera, asked.ground or seen.ground, asked.sky or seen.sky)


def retell(seen: list[Scene], prompts: list[str]) -> list[str]:
    """Say what is seen, changed as a prompt for each asks; what that cannot be is a warning.

    Raises:
        ValueError: a prompt names nothing that this world has.
    """
    asked = [Expansion(prompt) for prompt in prompts]
    if silent := [prompt for prompt, one in zip(prompts, asked, strict=True) if not one.said]:
        raise ValueError(
            f"nothing would change: {silent[0]!r} names no colour, shape, motion or place of this "
            "world; try for example 'on snow' or 'a blue cube'"
        )
    for note in (note for one in asked for note in one.notes):
        warnings.warn(note, stacklevel=4)
    texts = [tell(amend(old, new.scene)) for old, new in zip(seen, asked, strict=True)]
    return [text or prompt for text, prompt in zip(texts, prompts, strict=True)]


def tell(scene: Scene) -> str:
    """Write a scene's canonical sentence; what is None in it is left out."""

    def name(thing: Thing, article: str, sized: bool = True) -> str:
        rows = sized and SIZES.get(thing.size), [thing.color], NOUNS.get(thing.shape, ["object"])
        words = " ".join(row[0] for row in rows if row and row[0])
        return f"{'an' if article == 'a' and words[0] in 'aeiou' else article} {words}"

    def clause(thing: Thing) -> str:
        partner = "" if thing.partner is None else name(scene.objects[thing.partner], "the", False)
        verb = VERBS[thing.motion][0] if thing.motion else ""
        verb = verb.format(partner=partner, way="left" if thing.way < 0 else "right")
        return f"{name(thing, 'a')} {verb}".strip()

    *most, last = [clause(thing) for thing in scene.objects] or [""]
    action = f"{', '.join(most)} and {last}" if most else last
    rows = ((GROUNDS, scene.ground), (SKIES, scene.sky), (CAMERAS, scene.camera.motion))
    ground, sky, camera = (table[value][0] if value else "" for table, value in rows)
    return arrange(action, f"{ground} {sky}".strip(), camera, None).strip(", ")
