"""Does free wording cost anything? Other people's prompts, expanded, against canonical captions.

`tests/third_blind_prompts.tsv` has 300 prompts by somebody who had not seen the thesaurus, with
what a person reads in each. A prompt is generated twice with one seed: from what our expansion
makes of it, and from a canonical caption of what the person read. The judge says which videos show
it.

    python experiments/wording.py                  # about four minutes on two cores
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import torch
from tqdm import tqdm

import minisora
from minisora.drafts import ALL, NAMES
from minisora.evaluate import compare, load_judge, stack, wilson
from minisora.expand import Expansion
from minisora.thesaurus import PARTNER

PROMPTS = Path(__file__).parents[1] / "tests" / "third_blind_prompts.tsv"


def rows_of(path: Path) -> list[list[str]]:
    """Return prompts with what people read in them; see the head of tests/free_prompts.tsv."""
    lines = path.read_text("utf-8").splitlines()
    return [line.split("\t") for line in lines if line and line[0] != "#"]


def named(text: str) -> list[tuple[str, set[str]]]:
    """Return attributes of "red, sphere, bounces/falls, camera still"; any of a/b will do."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        values = set(part.removeprefix("camera ").split("/"))
        if part.startswith("camera "):
            values = {value.removeprefix("camera ") for value in values}
            found.append(("camera", ALL["camera"] - {"still"} if values == {"moves"} else values))
        else:
            found.append(("motion" if "trail" in values else NAMES[min(values)], values))
    return found


def missing(made: Expansion, things: str, place: str, told: list[str]) -> list[tuple]:
    """Return what an expansion does not have of the attributes that a person read in its prompt."""
    scene, wanted = made.scene, [named(thing) for thing in things.split("+") if thing.strip()]
    orders = itertools.permutations(scene.objects, len(wanted))
    ways = [
        [
            (name, values)
            for thing, attributes in zip(order, wanted, strict=True)
            for name, values in attributes
            if getattr(thing, name) not in values
        ]
        for order in orders
    ]
    lost = min(ways, key=len) if ways else sum(wanted, [])
    for name, values in named(place):
        value = scene.camera.motion if name == "camera" else getattr(scene, name)
        lost += [] if value in values else [(name, values)]
    heard = " ".join([*made.lost, *made.clashes]).lower()
    return lost + [("told", word) for word in told if word.lower().replace("-", " ") not in heard]


def plainly(things: str, place: str) -> str:
    """Say in the words of the training language what a person read in a prompt."""
    parts = []
    for thing in filter(str.strip, things.split("+")):
        said = {name: min(values) for name, values in named(thing)}
        words = [said.get(name) for name in ("size", "color")] + [said.get("shape", "object")]
        parts.append((" ".join(filter(None, words)), said.get("motion", "")))
    parts.sort(key=lambda part: part[1] not in PARTNER)  # what circles names its partner next
    (first, does), *others = parts or [("object", "")]
    if does in PARTNER and others:
        text = f"a {first} {does} the {others[0][0]}"
        text += f" and a {others[0][0]} {others[0][1]}"
        others = others[1:]
    else:
        text = f"a {first} {does}"
    text += "".join(f" and a {what} {does}" for what, does in others)
    said = {name: min(values) for name, values in named(place)}
    text += f" on {said['ground']}" if "ground" in said else ""
    text += f", {said['sky']}" if "sky" in said else ""
    return text + (f", the camera {said['camera']}" if "camera" in said else "")


def pairs(path: Path = PROMPTS) -> tuple[list[tuple[Expansion, Expansion, bool]], int]:
    """Return by prompt what was expanded, its canonical caption, and whether all of it was kept.

    Left out, and counted, is what the world cannot show in any wording (a ring rolling away).
    """
    found, impossible = [], 0
    for i, (prompt, wanted, *_) in enumerate(rows_of(path)):
        things, _, place = wanted.partition("|")
        canonical = Expansion(plainly(things, place), seed=i, fill=True)
        if missing(canonical, things, place, []):
            impossible += 1
            continue
        made = Expansion(prompt, seed=i, fill=True)
        found.append((made, canonical, not missing(made, things, place, [])))
    return found, impossible


def main(words: list[str] | None = None) -> None:
    """Generate both, have them judged, and print the shares with their intervals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, help="only so many of the prompts")
    parser.add_argument("--prompts", type=Path, default=PROMPTS)
    args = parser.parse_args(words)
    sora, judge = minisora.load(), load_judge(None)
    found, impossible = pairs(args.prompts)
    found, hits = found[: args.count], {"canonical": [], "expanded": []}
    for i in tqdm(range(0, len(found), 16), "generating and judging", unit="batch"):
        some = found[i : i + 16]
        # what was misread cannot be right: its video is held against what was meant
        meant = {"canonical": [c.scene for _, c, _ in some]}
        meant["expanded"] = [(m if kept else c).scene for m, c, kept in some]
        texts = {"canonical": [c.caption for _, c, _ in some]}
        texts["expanded"] = [m.caption for m, _, _ in some]
        for name, captions in texts.items():
            videos = sora.generate(captions, seed=i)
            hits[name].append(compare(judge.say(stack(videos)), meant[name])["every"])
    print(f"{len(found)} prompts; {impossible} that no wording could show left out")
    kept = torch.tensor([kept for *_, kept in found])
    print("everything named is in the expansion: {:.1%} [{:.1%}, {:.1%}]".format(*wilson(kept)))
    for name, rows in hits.items():
        right, line = torch.cat(rows), "{}: every attribute right {:.1%} [{:.1%}, {:.1%}]"
        print(line.format(name, *wilson(right)), end="; ")
        print("of what was read {:.1%} [{:.1%}, {:.1%}]".format(*wilson(right[kept])))


if __name__ == "__main__":
    main()
