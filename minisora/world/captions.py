"""What a scene is called: a small grammar with paraphrases and three levels of detail.

Every word that a caption can hold comes from the tables below, so that `text.py` can build its
vocabulary from them. The first phrase of each row is the canonical one. Our choice: OpenAI's
captioner writes free prose, ours is exact, so that a wrong caption can never explain a wrong video.
"""

from __future__ import annotations

import random
import re

NOUNS = {
    "sphere": ["sphere", "ball"],
    "cube": ["cube", "box", "block"],
    "cylinder": ["cylinder", "drum"],
    "cone": ["cone"],
    "ring": ["ring", "hoop"],
}
SIZES = {"small": ["small", "little", "tiny"], "large": ["large", "big", "huge"]}
VERBS = {  # {partner}: the other object; {way}: left or right
    "still": ["stands still", "rests", "does not move", "sits still"],
    "bounces": ["bounces", "is bouncing", "bounces up and down", "hops"],
    "slides left": ["slides left", "slides to the left", "is sliding left", "glides left"],
    "slides right": ["slides right", "slides to the right", "is sliding right", "glides right"],
    "rolls towards": ["rolls towards the camera", "rolls closer", "rolls forward"],
    "rolls away": ["rolls away", "rolls away from the camera", "rolls into the distance"],
    "spins": ["spins", "is spinning", "turns on the spot", "rotates"],
    "falls": ["falls and lands", "drops to the ground", "falls from above"],
    "circles": ["circles {partner}", "goes around {partner}", "moves around {partner}"],
    "passes behind": [
        "passes behind {partner}",
        "goes behind {partner}",
        "slides behind {partner}",
    ],
    "trail": [
        "rolls {way} leaving a painted trail",
        "rolls {way} and paints the ground",
        "paints the ground rolling {way}",
    ],
    "bitten": ["is bitten", "gets bitten", "has a piece bitten off", "loses a bite"],
}
CAMERAS = {
    "still": ["the camera is still", "the camera does not move", "a fixed camera"],
    "orbits left": ["the camera orbits left", "the camera circles to the left"],
    "orbits right": ["the camera orbits right", "the camera circles to the right"],
    "zooms in": ["the camera zooms in", "the camera moves closer", "the camera pushes in"],
    "zooms out": ["the camera zooms out", "the camera moves back", "the camera pulls out"],
    "rises": ["the camera rises", "the camera goes up", "the camera climbs"],
}
GROUNDS = {
    "checkered": ["on a checkered floor", "on the checkered floor", "on a checkerboard"],
    "sand": ["on sand", "on the sand", "in the desert"],
    "grass": ["on grass", "on the grass", "on a lawn"],
    "snow": ["on snow", "in the snow", "on the snow"],
}
SKIES = {
    "day": ["by day", "under a blue sky", "in daylight"],
    "sunset": ["at sunset", "at dusk", "in the evening light"],
    "night": ["at night", "under a night sky", "in the dark"],
    "fog": ["in the fog", "on a foggy day", "in mist"],
}
LEVELS = ("short", "medium", "full")
GLUE = "a an the and , . while as with of"  # words that only `describe` and users put between


def vocabulary(colors: tuple[str, ...]) -> list[str]:
    """Return every word that a caption can hold, sorted, without repeats."""
    tables = (NOUNS, SIZES, VERBS, CAMERAS, GROUNDS, SKIES)
    phrases = [phrase for table in tables for row in table.values() for phrase in row]
    text = " ".join([*phrases, *colors, GLUE]).replace("{partner}", "").replace("{way}", "")
    return sorted(set(re.findall(r"[a-z]+|[,.]", text)))


def describe(scene, level: str = "full", rng: random.Random | None = None) -> str:
    """Say what happens in a scene.

    Args:
        scene: a `world.Scene`.
        level: "short" names colour, shape and motion; "medium" adds some of size, place and
            camera; "full" adds all of them.
        rng: picks among paraphrases, word order and (at "medium") details; None gives the
            canonical sentence.

    Returns:
        One lower-case sentence without a full stop, at most 48 tokens of `text.py`.

    Raises:
        ValueError: the level is not one of `LEVELS`.
    """
    if level not in LEVELS:
        raise ValueError(f"caption level {level!r} is not one of {', '.join(LEVELS)}")

    def pick(row: list[str]) -> str:
        return rng.choice(row) if rng else row[0]

    def wanted(chance: float) -> bool:
        return level == "full" or (level == "medium" and (rng is None or rng.random() < chance))

    def name(thing, article: str, sized: bool) -> str:
        size = f"{pick(SIZES[thing.size])} " if sized else ""
        noun = f"{size}{thing.color} {pick(NOUNS[thing.shape])}"
        return f"{'an' if article == 'a' and noun[0] in 'aeiou' else article} {noun}"

    def clause(thing, sized: bool) -> str:
        partner = "" if thing.partner is None else name(scene.objects[thing.partner], "the", False)
        way = "left" if thing.way < 0 else "right"
        verb = pick(VERBS[thing.motion]).format(partner=partner, way=way)
        return f"{name(thing, 'a', sized)} {verb}"

    sized = wanted(0.5)
    clauses = [clause(thing, sized) for thing in scene.objects]
    action = clauses[0] if len(clauses) == 1 else f"{', '.join(clauses[:-1])} and {clauses[-1]}"
    place = [pick(GROUNDS[scene.ground])] if wanted(0.6) else []
    place += [pick(SKIES[scene.sky])] if wanted(0.6) else []
    camera = pick(CAMERAS[scene.camera.motion]) if wanted(0.6) else ""
    return arrange(action, " ".join(place), camera, rng)


def arrange(action: str, place: str, camera: str, rng: random.Random | None) -> str:
    """Put the three parts of a sentence in order: the action, where it is, what the camera does."""
    order = rng.random() if rng else 0.0
    if place and order > 0.8:
        return f"{place}, {action}" + (f", {camera}" if camera else "")
    scene = f"{action} {place}".strip()
    if camera and 0.6 < order <= 0.7:
        return f"{camera}, {scene}"
    if camera and 0.7 < order <= 0.8 and not camera.startswith("a "):
        return f"{scene} while {camera}"
    return f"{scene}, {camera}" if camera else scene
