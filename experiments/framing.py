"""Square crops or native sizes? Sora's framing claim as an experiment, at half size.

Sora's report: "We empirically find that training on videos at their native aspect ratios improves
composition and framing": a model trained on square crops "sometimes generates videos where the
subject is only partially in view". Here two small transformers learn from the same wide clips
(80x48), one from all of them, the other from squares (48x48) cut out anywhere, as augmentation
does, with as many tokens in all. Then both are asked for a red or a purple thing by day, whose
pixels can be told by their colour, and it is counted how often that leaves the picture at a side.

    python experiments/framing.py native 0     # one run: native or square, seed
    python experiments/framing.py --table      # what all runs have shown, and what was filmed
"""

from __future__ import annotations

import argparse
import csv
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from recaption import RECIPE, train

import minisora
from minisora import world
from minisora.data import Bucket, encode_all, film
from minisora.evaluate import wilson
from minisora.sora import Sora
from minisora.video import Video

TABLE = Path(__file__).with_name("framing.csv")
WIDE, HIGH, COUNT = 80, 48, 3000
ASKED = {"native": ((WIDE, HIGH),), "square": ((HIGH, HIGH), (WIDE, HIGH))}  # sizes to generate


def cropped(clip: Video, rng: random.Random) -> Video:
    """Return a square of a wide clip, from anywhere."""
    left = rng.randint(0, WIDE - HIGH)
    return Video(np.ascontiguousarray(clip.frames[:, :, left : left + HIGH]), clip.fps)


def clips_of(kind: str, sora: Sora, count: int = COUNT) -> Bucket:
    """Film wide clips and compress them, as they are or cropped."""
    texts, rng = [], random.Random(0)

    def clips() -> Iterator[Video]:
        for scene, clip in film(count, "train", width=WIDE, height=HIGH):
            texts.append(scene.caption)
            yield clip if kind == "native" else cropped(clip, rng)

    return Bucket(encode_all(sora.vae, clips(), count), texts, 1.0, 5)


def scenes_of(count: int) -> list[world.Scene]:
    """Return scenes whose one object can be told from all else by its colour."""
    found, seed = [], 10**6
    while len(found) < count:
        scene, seed = world.sample_scene(seed, "train", objects=1), seed + 1
        thing = replace(scene.objects[0], color="red" if seed % 2 else "purple")
        ground = scene.ground if scene.ground != "sand" else "snow"
        found.append(replace(scene, objects=(thing,), sky="day", ground=ground))
    return found


def shows(frames: np.ndarray, color: str) -> np.ndarray:
    """Return which pixels (uint8 `t h w 3`) are red or purple, bool `t h w`."""
    r, g, b = np.moveaxis(frames.astype(np.float32) + 8, -1, 0)
    return (r > 1.7 * g) & (r > 1.7 * b) if color == "red" else (r > 1.35 * g) & (b > 1.5 * g)


def cut_off(frames: np.ndarray, color: str) -> bool:
    """Say whether a thing touches a side with three pixels, or is (nearly) gone, at some moment."""
    there = shows(frames, color)
    sides, area = there[:, :, [0, -1]].sum(1).max(), there.sum((1, 2))
    return bool(sides >= 3 or area.min() < 0.1 * area.max() or area.max() < 20)


def run(kind: str, seed: int, steps: int, count: int, clips: int, table: Path) -> None:
    """Train on native or square clips, generate, count, and note the outcome."""
    sora = minisora.load(device="cpu")
    # as many tokens for both: a wide clip has 5/3 of a square's
    preset = replace(RECIPE, steps=steps if kind == "native" else steps * WIDE // HIGH)
    dit = train(clips_of(kind, sora, clips), seed, preset)
    mine, scenes = Sora(sora.vae, dit.eval()), scenes_of(count)
    for width, height in ASKED[kind]:
        for i in range(0, count, 16):
            some = scenes[i : i + 16]
            size = dict(width=width, height=height, steps=16, solver="euler", seed=1000 * seed + i)
            videos = mine.generate([scene.caption for scene in some], **size)
            hits = (
                cut_off(v.frames, s.objects[0].color) for v, s in zip(videos, some, strict=True)
            )
            note(table, f"{kind} model, {width}x{height}", seed, hits)


def note(table: Path, name: str, seed: int, hits) -> None:
    """Add lines to a table: what, seed, cut off or not."""
    with open(table, "a", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        if not file.tell():
            rows.writerow(("what", "seed", "cut_off"))
        rows.writerows((name, seed, int(hit)) for hit in hits)


def filmed(count: int) -> dict[str, list[bool]]:
    """Count the same in filmed clips, native and cropped."""
    found, rng = defaultdict(list), random.Random(1)
    for scene in scenes_of(count):
        clip, color = world.render(scene, 17, HIGH, WIDE), scene.objects[0].color
        found["filmed, native"].append(cut_off(clip.frames, color))
        found["filmed, square crops"].append(cut_off(cropped(clip, rng).frames, color))
    return found


def as_text(rows: dict[str, list[bool]]) -> str:
    """Lay out shares with their 95% intervals."""
    lines = []
    for name, hits in rows.items():
        p, low, high = (100 * share for share in wilson(torch.tensor(hits, dtype=torch.bool)))
        lines.append(f"{name:28}{p:5.1f}% [{low:.1f}, {high:.1f}] cut off, of {len(hits)}")
    return "\n".join(lines)


def main(words: list[str] | None = None) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", nargs="?", choices=ASKED)
    parser.add_argument("seed", nargs="?", type=int, default=0)
    parser.add_argument("--steps", type=int, default=RECIPE.steps)
    parser.add_argument("--prompts", type=int, default=160)
    parser.add_argument("--clips", type=int, default=COUNT)
    parser.add_argument("--out", type=Path, default=TABLE)
    parser.add_argument("--table", action="store_true", help="print what all runs have shown")
    args = parser.parse_args(words)
    if args.kind:
        run(args.kind, args.seed, args.steps, args.prompts, args.clips, args.out)
    elif not args.table:
        parser.error("native or square? or --table")
    if args.table:
        found = filmed(args.prompts)
        if args.out.is_file():
            with open(args.out, encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    found[row["what"]].append(row["cut_off"] == "1")
        print(as_text(found))


if __name__ == "__main__":
    main()
