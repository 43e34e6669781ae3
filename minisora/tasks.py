"""What images and videos as prompts are worth: `minisora eval --tasks N`, a target to a row.

Each row is a share of N held-out cases with its interval, beside that of filmed clips through the
VAE, which a perfect model would reach. Clips that are given are encoded alone: a slice of a longer
encoding would know the answer.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from minisora import world
from minisora.bench import REFERENCE, Watch, matmul
from minisora.device import fast_dtype
from minisora.evaluate import BATCH, learnt, object_mask, wilson
from minisora.gaps import fill_frames
from minisora.judge import Judge, right
from minisora.prompting import DEFAULTS, retold
from minisora.sora import Sora
from minisora.vae import psnr
from minisora.video import frames_to_tensor
from minisora.world.captions import GROUNDS, NOUNS, SKIES
from minisora.world.scenes import COLORS, MOTIONS, Scene

LASTING = ("shape", "color", "size", "ground", "sky")  # attributes that outlast a motion
STRENGTH = 0.6  # of every editing
MINUTES = 50  # videos of a minute, at most
SIZES = {  # width, height, frames
    "between": ((64, 48, 17), (48, 64, 17), (64, 64, 9), (64, 64, 25)),
    "beyond": ((96, 96, 17), (64, 64, 65)),
}
Hits = dict[str, tuple[Tensor, Tensor]]  # by row, bool: which cases are right, which could be


class Trial:
    """The model on trial and its judge; both see batches of scenes of one size."""

    def __init__(self, sora: Sora, judge: Judge, **options):
        self.sora, self.judge, self.size = sora, judge, learnt(sora)
        self.options = {**DEFAULTS, **options}

    def film(self, scenes: list[Scene], frames: int, first: int = 0) -> np.ndarray:
        """Film scenes from frame `first` on, uint8 `b t h w c`."""
        size = dict(height=self.size.height, width=self.size.width, start=first / 8)
        return np.stack([world.render(scene, frames, **size).frames for scene in scenes])

    def vae(self, frames: np.ndarray) -> np.ndarray:
        """Return what the VAE makes of frames `b t h w c`."""
        return self.sora.decode(self.sora.encode(frames))

    def make(self, frames: np.ndarray, given, prompts: list[str], **more) -> np.ndarray:
        """Make the frames that are not given; each batch has noise of its own."""
        seed, more = random.Random(prompts[0]).randrange(2**31), {**self.options, **more}
        return fill_frames(self.sora, frames, given, lambda i: prompts, seed, **more)

    def right(self, frames: np.ndarray, scenes: list[Scene], names=("every",)) -> Tensor:
        """Say which clips show all these attributes of their scenes, bool `b`."""
        hits = right(self.judge.say(frames_to_tensor(frames)), scenes)
        return torch.stack([hits[name] for name in names]).all(0)


# ---- the tasks, each on a batch of scenes; a row's name says its target ----


def animating(trial: Trial, scenes: list[Scene]) -> Hits:
    """Give the first frame, or none."""
    prompts, x = [scene.caption for scene in scenes], trial.film(scenes, 17)
    made, alone = (trial.make(x, np.arange(17) < n, prompts) for n in (1, 0))
    there = kept(made[:, :1], x[:, :1], trial.vae(x[:, :1]))
    could = trial.right(trial.vae(x), scenes)
    return {
        "animate: given frame within 0.5 dB (all)": (there, there | True),
        "animate: every attribute (5 points of the next)": (trial.right(made, scenes), could),
        "text alone: every attribute": (trial.right(alone, scenes), could),
    }


def extending(trial: Trial, scenes: list[Scene]) -> Hits:
    """Give the first 17 of 33 frames, or the last 16; judge the others and a given one."""
    prompts, x, found = [scene.caption for scene in scenes], trial.film(scenes, 33), {}
    first = np.arange(33) < 17
    for way, given, new in (("forward", first, slice(16, 33)), ("backward", ~first, slice(0, 17))):
        clips = trial.make(x, given, prompts)[:, new], trial.vae(x[:, new])
        judged = tuple(trial.right(y, scenes, LASTING) for y in clips)
        found[f"extend {way}: attributes kept (95% of filmed)"] = judged
    return found


def looping(trial: Trial, scenes: list[Scene]) -> Hits:
    """Give 17 frames, the later ones first, with 12 to be made between them and the others."""
    x, mask = trial.film(scenes, 17), np.r_[[True] * 9, [False] * 12, [True] * 8]
    row = np.concatenate([x[:, 8:], np.zeros_like(x[:, :12]), x[:, :8]], 1)
    made = trial.make(row, mask, [scene.caption for scene in scenes])
    made = np.concatenate([made, made[:, :1]], 1)  # and round
    sizes = steps(made), steps(trial.vae(trial.film(scenes, 29)))
    calm = tuple((size[:, [8, 20]] <= 1.2).all(1) for size in sizes)
    return {"loop: seams within 1.2 median steps (90%)": calm}


def connecting(trial: Trial, scenes: list[Scene]) -> Hits:
    """Give the first 17 and the last 16 of 45 frames."""
    x, mask = trial.film(scenes, 45), np.r_[[True] * 17, [False] * 12, [True] * 16]
    made, vae = trial.make(x, mask, [scene.caption for scene in scenes]), trial.vae(x)
    there = kept(made[:, mask], x[:, mask], vae[:, mask])
    calm = tuple((steps(y) <= 3).all(1) for y in (made, vae))
    return {
        "connect: both ends within 0.5 dB (all)": (there, there | True),
        "connect: no step over 3 median steps (90%)": calm,
    }


def editing(trial: Trial, scenes: list[Scene]) -> Hits:
    """Change the ground, the sky, the colour or the shape, and name nothing else."""
    kinds, wanted, prompts = zip(*map(change, scenes), strict=True)
    x, film = trial.film(scenes, 17), trial.vae(trial.film(wanted, 17))
    texts = retold(trial.sora, x, [*prompts])
    made = trial.make(x, np.arange(17) < 0, texts, begin=STRENGTH)
    masks = torch.stack([object_mask(scene, *x.shape[1:4]) for scene in scenes])

    def there(y: np.ndarray) -> Tensor:
        rows = zip(y, wanted, kinds, strict=True)
        return torch.cat([trial.right(clip[None], [scene], [kind]) for clip, scene, kind in rows])

    near = tuple(moved(x, y, masks) <= 0.1 for y in (made, film))
    return {
        "edit: what is named is there (80%)": (there(made), there(film)),
        "edit: path moved by a tenth at most (80%)": near,
    }


def going_on(trial: Trial, scenes: list[Scene], seconds: float = 60) -> Hits:
    """Make a minute by rolling on, and judge its last two seconds if its first are right."""
    frames, prompts = 1 + 4 * round(2 * seconds), [scene.caption for scene in scenes]
    blank = np.zeros((len(scenes), frames, trial.size.height, trial.size.width, 3), np.uint8)
    made, found = trial.make(blank, np.arange(frames) < 0, prompts), []
    film = (trial.vae(trial.film(scenes, 17, first)) for first in (0, frames - 17))
    for begin, end in ((made[:, :17], made[:, -17:]), film):
        found.append(trial.right(end, scenes)[trial.right(begin, scenes)])
    return {"one minute: right at the end as at first (85%)": tuple(found)}


def sized(trial: Trial, scenes: list[Scene]) -> Hits:
    """Generate at a size that was learnt, at others between those learnt, and beyond them."""
    found, prompts = {}, [scene.caption for scene in scenes]
    learnt = {"learnt": [(trial.size.width, trial.size.height, 17)]}
    for kind, (width, height, frames) in ((k, s) for k, v in (learnt | SIZES).items() for s in v):
        shape = dict(width=width, height=height, frames=frames)
        videos = trial.sora.generate(prompts, seed=scenes[0].seed, **shape, **trial.options)
        made = np.stack([video.frames for video in videos])
        film = trial.vae(np.stack([world.render(scene, **shape).frames for scene in scenes]))
        judged = tuple(trial.right(y, scenes) for y in (made, film))
        found[f"{width}x{height}, {frames} frames ({kind}): every attribute"] = judged
    return found


# ---- what is measured ----


def kept(made: np.ndarray, x: np.ndarray, vae: np.ndarray) -> Tensor:
    """Say which clips are within half a decibel of what the VAE alone makes of them, bool `b`."""
    made, x, vae = map(frames_to_tensor, (made, x, vae))
    return psnr(made, x) >= psnr(vae, x) - 0.5


def steps(frames: np.ndarray) -> Tensor:
    """Return the mean change from frame to frame, in medians (of 1/255 or more), `b t−1`."""
    step = torch.from_numpy(np.abs(np.diff(frames.astype(np.float32), axis=1)).mean((2, 3, 4)))
    return step / step.median(1, keepdim=True).values.clamp_min(1)


def change(scene: Scene) -> tuple[str, Scene, str]:
    """Return an attribute, the scene with another value of it, and a prompt that names only it."""
    rng, thing = random.Random(scene.seed), scene.objects[0]
    kind = ("ground", "sky", "color", "shape")[scene.seed % 4]
    values = dict(ground=GROUNDS, sky=SKIES, color=COLORS, shape=MOTIONS[thing.motion])[kind]
    old = getattr(scene if kind in ("ground", "sky") else thing, kind)
    new = rng.choice([value for value in values if value != old])
    if kind in ("ground", "sky"):
        return kind, replace(scene, **{kind: new}), values[new][0]
    other = replace(thing, **{kind: new})
    name = f"{other.color} {NOUNS[other.shape][0]}"
    article = "an" if name.startswith("orange") else "a"
    return kind, replace(scene, objects=(other, *scene.objects[1:])), f"{article} {name}"


def moved(x: np.ndarray, y: np.ndarray, masks: Tensor) -> Tensor:
    """Return how far the object of x is from its place in y, the mean in frame widths, `b`.

    In each frame of x (uint8 `b t h w c`; bool `b t h w` says where the object is) its edges are
    laid over those of y where they fit best (normalised cross-correlation): another colour or
    background changes edges little.
    """
    h, w = masks.shape[2:]
    near = F.max_pool2d(masks.float(), 5, 1, 2)

    def edges(frames: np.ndarray) -> Tensor:
        grey = torch.from_numpy(frames.mean(-1, dtype=np.float32) / 255)
        return torch.hypot(*(grey.diff(dim=d, append=grey.narrow(d, -1, 1)) for d in (2, 3)))

    def overlap(p: Tensor, q: Tensor) -> Tensor:
        p, q = (torch.fft.rfft2(a, (2 * h, 2 * w)) for a in (p, q))
        laid = torch.fft.fftshift(torch.fft.irfft2(p.conj() * q), (2, 3))
        return laid[:, :, h - h // 4 : h + h // 4 + 1, w - w // 4 : w + w // 4 + 1]

    norm = (overlap(near, edges(y) ** 2).clamp_min(0) + 1e-3).sqrt()
    fit = overlap(edges(x) * near, edges(y)) / norm
    best, columns = fit.flatten(2).argmax(2), fit.shape[3]
    away = torch.hypot(best // columns - h // 4.0, best % columns - w // 4.0) / w
    there = masks.flatten(2).any(2)
    return (away * there).sum(1) / there.sum(1).clamp_min(1)


# ---- all of it ----


def measure(sora: Sora, judge: Judge, count: int, seconds: float = 60, **options) -> dict:
    """Return every row's share of `count` held-out cases with its ceiling, and what rolling costs.

    The minute, of so many `seconds`, has 50 cases at most; the options are those of `generate`.
    """
    trial, rows, minutes = Trial(sora, judge, **options), defaultdict(list), min(count, MINUTES)
    cost = rolling(trial, seconds)  # first, as the most memory only grows
    every = (animating, extending, looping, connecting, editing, sized)
    plan, minute = [(task, count, 1, None) for task in every], partial(going_on, seconds=seconds)
    plan += [(minute, minutes - minutes // 2, 1, endless), (minute, minutes // 2, 2, endless)]
    with tqdm(desc="tasks", total=sum(row[1] for row in plan), unit="case") as bar:
        for task, *which in plan:
            for scenes in batches(*which):
                for name, pair in task(trial, scenes).items():
                    rows[name].append(pair)
                bar.update(len(scenes))
    joined = {name: [torch.cat(hits) for hits in zip(*v, strict=True)] for name, v in rows.items()}
    cells = {name: dict(made=wilson(a), filmed=wilson(b)) for name, (a, b) in joined.items()}
    return {"tasks": count, "rows": cells, "rolling": cost}


def batches(count: int, objects: int, wanted=None) -> Iterator[list[Scene]]:
    """Yield held-out scenes for which `wanted` holds, a batch at a time."""
    scenes = (world.sample_scene(seed, "heldout", objects) for seed in itertools.count())
    some = itertools.islice(filter(wanted, scenes), count)
    while batch := [*itertools.islice(some, BATCH)]:
        yield batch


def endless(scene: Scene) -> bool:
    """Say whether something moves in a scene and nothing comes to an end."""
    motions, camera = {thing.motion for thing in scene.objects}, scene.camera.motion.split()[0]
    lasts = motions <= {"still", "spins", "circles"} and camera in ("still", "orbits")
    return lasts and not (camera == "still" and motions == {"still"})


def rolling(trial: Trial, seconds: float) -> dict:
    """Return how fast a minute is made, and the most memory (MB) for five seconds and for it."""
    device, memory = trial.sora.device, []
    options = dict(width=trial.size.width, height=trial.size.height, seed=0, **trial.options)
    for length in (5, seconds):
        began = time.perf_counter()
        trial.sora.long("a red sphere spins, the camera orbits left", length, **options)
        if device.type == "cuda":
            memory.append(torch.cuda.max_memory_allocated(device) / 1e6)
        elif sys.platform != "win32":
            import resource

            unit = 1 if sys.platform == "darwin" else 1024
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)
    speed = seconds / (time.perf_counter() - began)
    peak = matmul(Watch(device, 3), fast_dtype(device)).rate
    return dict(seconds=seconds, speed=speed, peak=peak, memory=memory)


def as_text(found: dict) -> str:
    """Lay out what `measure` found."""
    lines = ["", f"{found['tasks']} held-out cases of each task; % [95% interval]"]
    lines.append(f"{'(target)':48}{'made':>20}{'filmed, through VAE':>22}")
    for name, row in found["rows"].items():
        cells = ([100 * share for share in row[column]] for column in ("made", "filmed"))
        one, two = (f"{p:.1f} [{low:.1f}, {high:.1f}]" for p, low, high in cells)
        lines.append(f"{name:48}{one:>20}{two:>22}")
    seconds, speed, peak, memory = found["rolling"].values()
    at = f"{speed * REFERENCE / peak:.2f} at {REFERENCE:.0f}"
    lines.append(f"rolling: {speed:.2f} s of video a second; {at} GFLOP/s (1; here {peak:.0f})")
    pairs = zip(memory, (5, seconds), strict=False)
    told = ", ".join(f"{mb:.0f} MB for {s:g} s" for mb, s in pairs)
    lines += [f"most memory of the process (no more): {told}"] * bool(memory)
    return "\n".join(lines)
