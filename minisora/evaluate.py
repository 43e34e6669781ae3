"""What the weights are worth: `minisora eval` prints figures on the held-out split.

The held-out split's combinations of colour, shape and motion appear in no training clip. A judge
says what the clips show, and every share is printed beside that of filmed clips, that of filmed
clips through the VAE (whoever samples its latents can hardly do better) and that of chance.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from minisora import data, world
from minisora.captioner import read
from minisora.checkpoints import SHIPPED, load_model
from minisora.expand import Expansion
from minisora.judge import PLACE, THING, Judge, Said, labels, right, shown
from minisora.presets import PRESETS
from minisora.sora import Sora
from minisora.vae import psnr
from minisora.video import Video, frames_to_tensor
from minisora.world.film import shoot
from minisora.world.render import Tracer

COLUMNS = ("rendered", "through the VAE", "generated", "shuffled")
BATCH = 16  # clips generated at once


def object_mask(scene: world.Scene, frames: int, height: int, width: int) -> Tensor:
    """Return which pixels of a filmed scene show an object, bool `t h w`."""
    _, which = Tracer(shoot(scene, frames), height, width, samples=1).nearest()
    return (which >= 0).view(frames, height, width)


def compress_held_out(sora: Sora, count: int = 500) -> tuple[Tensor, Tensor]:
    """Return each held-out clip's PSNR in dB after compression, and that of its objects alone."""
    scores = []
    for scene, clip in tqdm(data.film(count, "heldout"), "held-out clips", count, unit="clip"):
        x = clip.to_tensor()[None]
        y, mask = shown(sora.vae, sora.encode(x)).cpu(), object_mask(scene, *x.shape[2:])
        scores.append(torch.cat([psnr(y, x), psnr(y[:, :, mask], x[:, :, mask])]))
    return torch.stack(scores, 1).unbind()


# ---- what the judge says ----


@dataclass(frozen=True)
class Exam:
    """Held-out scenes, what is said of their clips, and the clips' latents."""

    scenes: list[world.Scene]
    said: dict[str, Said]  # by the judge, of the first three columns
    latents: dict[str, Tensor]  # of what is rendered and generated, float16 `n c t h w`
    told: dict[str, list[world.Scene]]  # by the captioner, of the same, if it was asked


def examine(sora: Sora, judge: Judge, count: int, objects: int, captions=False, **size) -> Exam:
    """Film held-out scenes, generate clips from their captions, and let the judge look at both.

    Args:
        sora, judge: on one device.
        count, objects: how many scenes, of how many objects each.
        captions: let the captioner look, too.
        size: frames, height and width of the clips.
    """
    films = data.film(count, "heldout", objects=objects, **size)
    films = [*tqdm(films, f"filming, objects: {objects}", count, unit="clip")]
    said, latents, told = (defaultdict(list) for _ in range(3))
    with tqdm(desc=f"generating, objects: {objects}", total=count, unit="clip") as bar:
        for i in range(0, count, BATCH):
            scenes, clips = zip(*films[i : i + BATCH], strict=True)
            prompts = [scene.caption for scene in scenes]
            videos = sora.generate(prompts, seed=1_000_000 * objects + i, **size)
            x = {"rendered": stack(clips), "generated": stack(videos)}
            z = {name: sora.encode(pixels).cpu() for name, pixels in x.items()}
            for name in z if captions else ():
                told[name] += [Expansion(c.full, fill=True).scene for c in read(sora, x[name])]
            x["through the VAE"] = shown(sora.vae, z["rendered"]).cpu()
            for name in x:
                said[name].append(judge.say(x[name]))
            for name in z:
                latents[name].append(z[name].half())
            bar.update(len(scenes))
    joined = {name: {a: torch.cat([s[a] for s in v]) for a in v[0]} for name, v in said.items()}
    kept = {name: torch.cat(v) for name, v in latents.items()}
    return Exam([scene for scene, _ in films], joined, kept, told)


def stack(videos: list[Video]) -> Tensor:
    """Stack videos of one size into `b 3 t h w`."""
    return frames_to_tensor(np.stack([video.frames for video in videos]))


def shares(exam: Exam) -> dict[str, dict[str, tuple]]:
    """Return by attribute and column the share of clips that have it right, and its interval.

    "shuffled" is chance: the generated clips compared with the next scene's attributes.
    "captioned" is what the captioner says of filmed clips, if it was asked; "agreed" how often what
    it says of generated ones is what the judge says.
    """
    hits = {name: right(exam.said[name], exam.scenes) for name in COLUMNS[:3]}
    hits["shuffled"] = right(exam.said["generated"], exam.scenes[1:] + exam.scenes[:1])
    if exam.told:
        hits["captioned"] = compare(certain(exam.told["rendered"]), exam.scenes)
        hits["agreed"] = compare(exam.said["generated"], exam.told["generated"])
    return {
        attribute: {column: wilson(hit[attribute]) for column, hit in hits.items()}
        for attribute in hits["shuffled"]
    }


def certain(scenes: list[world.Scene]) -> Said:
    """Return what a judge would say who is certain of scenes."""
    truth = labels(scenes)
    said = {"present": 2.0 * (truth["shape"] >= 0) - 1}
    for name, values in (THING | PLACE).items():
        said[name] = 20.0 * torch.eye(len(values))[truth[name].clamp_min(0)]
    return said


def compare(said: Said, scenes: list[world.Scene]) -> dict[str, Tensor]:
    """Say what is right of scenes of any number of objects; "every" counts the number, too."""
    rows = [right({n: v[[i]] for n, v in said.items()}, [s]) for i, s in enumerate(scenes)]
    hits = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    return hits | {"every": hits["every"] & hits["number"]}


def wilson(hits: Tensor, z: float = 1.96) -> tuple[float, float, float]:
    """Return the share of hits (bool `n`) and its 95% interval (Wilson 1927, JASA 22:209)."""
    if not len(hits):
        return 0.0, 0.0, 1.0  # nothing is known
    n, p = len(hits), hits.double().mean().item()
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return p, max(0.0, middle - reach), min(1.0, middle + reach)


# ---- distances ----


def frechet(x: Tensor, y: Tensor) -> float:
    """Return the Fréchet distance between Gaussians fitted to features `n d` and `m d`.

    |μ₁−μ₂|² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½), Heusel et al. 2017, arXiv 1706.08500, equation 6. With
    Σ = RᵀR, the trace of (Σ₁Σ₂)^½ is the sum of the singular values of R₁R₂ᵀ.
    """
    x, y = x.double(), y.double()
    one, two = (torch.linalg.qr((a - a.mean(0)) / (len(a) - 1) ** 0.5).R for a in (x, y))
    gap = (x.mean(0) - y.mean(0)).square().sum() + one.square().sum() + two.square().sum()
    return (gap - 2 * torch.linalg.matrix_norm(one @ two.mT, "nuc")).item()


def nearest(z: Tensor, known: Tensor) -> Tensor:
    """Return the distance of each latent `n c t h w` to the nearest known one, per number."""
    a, b = z.flatten(1).float(), known.flatten(1).float()
    return torch.cdist(a, b).min(1).values / a.shape[1] ** 0.5


# ---- all of it ----


def load_judge(weights: Path | None) -> Judge:
    """Load the judge of a folder of weights; where it has none, the shipped one."""
    own = (weights or SHIPPED) / "judge.safetensors"
    return load_model(own if own.is_file() else SHIPPED / "judge.safetensors", "judge")


def learnt(sora: Sora) -> data.Size:
    """Return the size that the transformer learnt most from."""
    ours = (p for p in PRESETS["dit"].values() if p.config == sora.dit.config)
    return next(ours, PRESETS["dit"]["cpu"]).sizes[0]


def measure(sora: Sora, judge: Judge, count: int, captions: bool = False) -> dict:
    """Return what the judge says of `count` held-out prompts of one object and as many of two.

    The clips have the size of those that the transformer learnt most from. With `captions`, also
    what the captioner says of them.
    """
    size = learnt(sora)
    shape = dict(frames=size.frames, height=size.height, width=size.width)
    exams = {k: examine(sora, judge, count, k, captions, **shape) for k in (1, 2)}
    features, gaps, known = {}, {}, data.bucket(sora.vae, size).latents
    for name in ("through the VAE", "generated"):
        features[name] = torch.cat([exam.said[name]["features"] for exam in exams.values()])
    for name in ("rendered", "generated"):
        gaps[name] = torch.cat([nearest(exam.latents[name], known) for exam in exams.values()])
    others = features["through the VAE"][1::2]  # half of the scenes, compared with the other half
    return {
        "prompts": count,
        "shares": {k: shares(exam) for k, exam in exams.items()},
        "frechet": {name: frechet(f[::2], others) for name, f in features.items()},
        "nearest": {name: gap.median().item() for name, gap in gaps.items()},
        "nearer": (gaps["generated"] < gaps["rendered"].quantile(0.01)).double().mean().item(),
    }


def as_text(found: dict) -> str:
    """Lay out what `measure` found."""
    called = {"color": "colour", "every": "every attribute", "number": "number of objects"}
    lines = []
    for k, rows in found["shares"].items():
        lines += ["", f"{found['prompts']} held-out prompts, objects: {k}; % right [95% interval]"]
        lines += [" " * 17 + "".join(f"{column:>21}" for column in rows["every"])]
        for name, cells in rows.items():
            percents = ([100 * share for share in cell] for cell in cells.values())
            told = (f"{p:.1f} [{low:.1f}, {high:.1f}]" for p, low, high in percents)
            lines.append(f"{called.get(name, name):17}" + "".join(f"{cell:>21}" for cell in told))
        ceiling, made = (rows["every"][column][0] for column in COLUMNS[1:3])
        share = f"{made / max(ceiling, 1e-9):.2f}"
        lines.append(f"every attribute, generated / through the VAE: {share}")
    far, near = (list(found[name].values()) for name in ("frechet", "nearest"))
    lines += [
        "",
        "An object's attribute is right where it is so in all objects. Shuffled: generated clips",
        "against another scene, which is chance.",
        "Fréchet distance to filmed clips through the VAE:",
        f"  generated {far[1]:.2f}, other filmed clips {far[0]:.2f}",
        "Distance to the nearest training clip, median (latents' root mean square):",
        f"  generated {near[1]:.3f}, held-out filmed {near[0]:.3f}; "
        f"nearer than 99% of those: {100 * found['nearer']:.1f}% of the generated",
    ]
    note = "Captioned: captions of filmed clips. Agreed: of generated clips, with the judge."
    return "\n".join(lines + [note] * ("captioned" in rows["every"]))
