"""Do better captions make a better model? Sora's recaptioning as an experiment, at half size.

Sora's report: "We first train a highly descriptive captioner model and then use it to produce text
captions for all videos in our training set. We find that training on highly descriptive video
captions improves text fidelity" (after DALL·E 3: Betker et al. 2023). Here the same small
transformer learns from the same clips, in the same order and for as many steps, with one of three
kinds of captions:

    web           as people write them: short, sloppy, a quarter of what they say is wrong
    recaptioned   what our captioner says of the same clips
    true          what the film studio knows: the most that any captioner can reach

    python experiments/recaption.py web 0 1 2      # kind of captions, seeds
    python experiments/recaption.py --table        # what all runs have shown

A seed takes four to nine minutes on two cores and adds its lines to `recaption.csv`. The judge
scores held-out prompts of one object, in the words of the training language (full) and as short
ones.
"""

from __future__ import annotations

import argparse
import csv
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import minisora
from minisora import world
from minisora.captioner import Captioner
from minisora.data import Bucket, Size, bucket
from minisora.dit import DiT, DiTConfig
from minisora.evaluate import load_judge, stack
from minisora.expand import Expansion
from minisora.judge import THING, right
from minisora.presets import Preset
from minisora.sora import Sora
from minisora.thesaurus import PARTNER
from minisora.train import loop
from minisora.train_dit import dit_loss, draw_batch
from minisora.world import Scene
from minisora.world.captions import CAMERAS, GROUNDS, SKIES, describe
from minisora.world.scenes import COLORS, MOTIONS

TABLE = Path(__file__).with_name("recaption.csv")
KINDS = ("web", "recaptioned", "true")
STYLES = {"full": ("every",), "short": ("shape", "color", "motion")}  # what such prompts name
CLIPS = Size(4000)
RECIPE = Preset(
    DiTConfig(width=128, depth=4, heads=2, text_depth=1),
    (CLIPS,),
    batch=32,
    steps=1200,
    checked=0,
    check_every=10**9,
    muon_lr=0.03,
    cooldown=0.95,
    hints=0.0,  # a question about objects would tell all three what the captions do not
)
WRONG = 0.25  # of what a web caption says
NOISE = (
    "#render #3d",
    "watch till the end!!",
    "my first animation",
    "lol",
    "(4k test)",
    "untitled clip {}",
    "for mum",
    "so satisfying",
)


def web_caption(scene: Scene, rng: random.Random) -> str:
    """Write what somebody might write under a clip: short, sloppy, and wrong in a quarter."""
    if rng.random() < 0.1:  # says nothing
        return rng.choice(NOISE).format(rng.randrange(100))
    words = describe(mistaken(scene, rng), rng.choice(("short", "short", "medium")), rng).split()
    kept = [word for word in words if rng.random() > 0.1] or words
    noise = [rng.choice(NOISE).format(rng.randrange(100))] if rng.random() < 0.4 else []
    return " ".join(rng.choice(([*kept, *noise], [*noise, *kept])))


def mistaken(scene: Scene, rng: random.Random) -> Scene:
    """Return a scene of which a quarter of the attributes are others."""

    def seen(old, values):
        return rng.choice(sorted(set(values) - {old})) if rng.random() < WRONG else old

    things = []
    for thing in scene.objects:
        motions = {m for m in MOTIONS if thing.shape in MOTIONS[m] and m not in PARTNER}
        motion = thing.motion if thing.motion in PARTNER else seen(thing.motion, motions)
        shape, color = seen(thing.shape, MOTIONS[motion]), seen(thing.color, COLORS)
        things.append(replace(thing, shape=shape, color=color, motion=motion))
    camera = replace(scene.camera, motion=seen(scene.camera.motion, CAMERAS))
    place = dict(ground=seen(scene.ground, GROUNDS), sky=seen(scene.sky, SKIES))
    return replace(scene, objects=tuple(things), camera=camera, **place)


def recaptions(captioner: Captioner, latents: torch.Tensor) -> Iterator[str]:
    """Yield what the captioner is sure of, clip by clip."""
    bar = tqdm(captioner.write(latents.float()), "captioning", len(latents), unit="clip")
    return (caption.text or caption.full for caption in bar)


def captioned(filmed: Bucket, kind: str, captioner: Captioner | None = None) -> Bucket:
    """Return the clips with captions of a kind in the place of what was filmed."""
    rng = random.Random(0)
    if kind == "web":
        texts = [web_caption(scene, rng) for scene in filmed.captions]
    elif kind == "true":
        texts = [scene.caption for scene in filmed.captions]
    else:
        texts = [*recaptions(captioner, filmed.latents)]
    return replace(filmed, captions=texts)


def fidelity(texts: list[str], scenes: list[Scene]) -> dict[str, float]:
    """Return by attribute the share of captions of one object that say it, and say it right."""
    hits = defaultdict(list)
    for text, scene in zip(texts, scenes, strict=True):
        if len(scene.objects) != 1:
            continue
        said = Expansion(text).scene
        thing = said.objects[0] if said.objects else None
        for name in THING:
            hits[name].append(getattr(thing, name, None) == getattr(scene.objects[0], name))
        hits["camera"].append(said.camera.motion == scene.camera.motion)
        for name in ("ground", "sky"):
            hits[name].append(getattr(said, name) == getattr(scene, name))
    return {name: float(np.mean(row)) for name, row in hits.items()}


def train(clips: Bucket, seed: int, preset: Preset = RECIPE) -> DiT:
    """Train a transformer from nothing on captioned clips."""
    torch.manual_seed(seed)
    dit = DiT(preset.config)
    device = next(dit.parameters()).device

    def loss_of(step: int) -> torch.Tensor:
        return dit_loss(dit, draw_batch([clips], preset, seed, step), preset, device, seed, step)

    bar = tqdm(loop(dit, preset, loss_of, lambda: 0.0, None), total=preset.steps, unit="step")
    for record in bar:
        bar.set_postfix_str(f"loss {record.loss:.3f}", refresh=False)
    return dit


def score(sora: Sora, judge, count: int, style: str, seed: int) -> dict[str, float]:
    """Return by attribute the share of held-out prompts whose video has it right."""
    scenes, hits = [world.sample_scene(i, "heldout", objects=1) for i in range(count)], []
    for i in tqdm(range(0, count, 16), f"{style} prompts", unit="batch"):
        some = scenes[i : i + 16]
        rng = random.Random(i)
        texts = [s.caption if style == "full" else describe(s, "short", rng) for s in some]
        videos = sora.generate(texts, seed=1000 * seed + i, steps=16, solver="euler")
        hits.append(right(judge.say(stack(videos)), some))
    joined = {name: torch.cat([h[name] for h in hits]) for name in hits[0]}
    named = (*THING, "camera", "ground", "sky") if style == "full" else STYLES["short"]
    joined["all that is named"] = torch.stack([joined[name] for name in named]).all(0)
    return {name: joined[name].double().mean().item() for name in (*named, "all that is named")}


def run(kind: str, seeds: list[int], steps: int, prompts: int, table: Path) -> None:
    """Train with captions of a kind, score the models, and note the outcomes."""
    sora = minisora.load(device="cpu")
    filmed = bucket(sora.vae, CLIPS)
    captioner = sora.captioner if kind == "recaptioned" else None
    clips = captioned(filmed, kind, captioner)
    print(*clips.captions[:4], sep="\n")
    for seed in seeds:
        began = time.perf_counter()
        dit = train(clips, seed, replace(RECIPE, steps=steps)).eval()
        about = (kind, seed, steps, round(time.perf_counter() - began), prompts)
        note(Sora(sora.vae, dit), about, table)


def note(mine: Sora, about: tuple, table: Path) -> None:
    """Score a model, and add a line for each share to the table."""
    judge, (kind, seed, _, _, prompts) = load_judge(None), about
    with open(table, "a", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        if not file.tell():
            rows.writerow("kind seed steps seconds prompts style attribute share".split())
        for style in STYLES:
            for name, share in score(mine, judge, prompts, style, seed).items():
                rows.writerow([*about, style, name, round(share, 4)])
                print(f"{kind} {seed}, {style}: {name} {share:.3f}")


def read(table: Path = TABLE) -> dict[tuple[str, str], dict[str, list[float]]]:
    """Return the shares of all seeds by style and attribute, then by kind of captions."""
    found = defaultdict(lambda: defaultdict(list))
    with open(table, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found[row["style"], row["attribute"]][row["kind"]].append(float(row["share"]))
    return found


def gain(new: list[float], old: list[float]) -> tuple[float, float]:
    """Return the mean difference and half its 95% interval (Welch's t over seeds)."""
    n, m = len(new), len(old)
    if min(n, m) < 2:
        return float(np.mean(new) - np.mean(old)), float("nan")
    a, b = np.var(new, ddof=1) / n, np.var(old, ddof=1) / m
    free = (a + b) ** 2 / max(a**2 / (n - 1) + b**2 / (m - 1), 1e-12)
    quantiles = (12.71, 4.303, 3.182, 2.776, 2.571)  # of Student's t, 1 to 5 degrees of freedom
    t = quantiles[min(max(int(free), 1), 5) - 1]
    return float(np.mean(new) - np.mean(old)), float(t * (a + b) ** 0.5)


def as_text(found) -> str:
    """Lay out what `read` found: means over seeds in %, and the gain with its interval."""
    lines = [f"{'':26}{'web':>9}{'recaptioned':>13}{'true':>9}   recaptioned − web [95%]"]
    for (style, name), kinds in found.items():
        cells = [f"{100 * np.mean(kinds[k]):.1f}" if kinds[k] else "" for k in KINDS]
        line = f"{style + ': ' + name:26}{cells[0]:>9}{cells[1]:>13}{cells[2]:>9}"
        if kinds["web"] and kinds["recaptioned"]:
            more, reach = (100 * x for x in gain(kinds["recaptioned"], kinds["web"]))
            line += f"   {more:+.1f}"
            if np.isfinite(reach):  # one seed has no spread
                line += f" [{more - reach:+.1f}, {more + reach:+.1f}]"
        lines.append(line)
    return "\n".join(lines)


def main(words: list[str] | None = None) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", nargs="?", choices=KINDS)
    parser.add_argument("seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=RECIPE.steps)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--out", type=Path, default=TABLE)
    parser.add_argument("--table", action="store_true", help="print what all runs have shown")
    args = parser.parse_args(words)
    if args.kind:
        run(args.kind, args.seeds, args.steps, args.prompts, args.out)
    elif not args.table:
        parser.error(f"which captions: {', '.join(KINDS)}? or --table")
    if args.table:
        if not args.out.is_file():
            parser.error(
                f"{args.out.name} is not there yet: run all kinds with seeds 0, 1, 2 first"
            )
        print(as_text(read(args.out)))


if __name__ == "__main__":
    main()
