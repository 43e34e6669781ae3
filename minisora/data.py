"""Clips with captions: filmed ones, folders of videos, and the cache of latents in size buckets.

Filming and compressing cost more than a training step, so it is done once: 12,000 clips become
latents in the user's cache folder. Clips of one size share a bucket, so nothing is ever padded.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from einops import reduce
from safetensors.torch import load_file
from torch import Tensor
from tqdm import tqdm

from minisora import world
from minisora.checkpoints import cache_folder, fingerprint, save_tensors
from minisora.device import autocast
from minisora.files import write_whole
from minisora.video import Video, frames_to_tensor
from minisora.world import captions
from minisora.world.film import shoot

OFTEN = (1, 1, 3)  # how often, among five captions, a short, a medium and a full caption are drawn


@dataclass(frozen=True)
class Size:
    """A bucket: how many clips of which size, and how often training visits it."""

    count: int
    frames: int = 17
    height: int = 64
    width: int = 64
    share: float = 1.0  # of the training steps, relative to the other buckets
    window: int = 5  # latent frames that a training sample takes of it
    objects: int | None = None  # in every scene; None: one to three

    @property
    def filmed(self) -> dict:
        """What `film` has to know."""
        return {name: getattr(self, name) for name in ("frames", "height", "width", "objects")}


def film(
    count: int, split: str = "train", first: int = 0, objects: int | None = None, **size
) -> Iterator[tuple[world.Scene, Video]]:
    """Film scenes `first` to `first + count - 1` of a split, on all cores, in order.

    Args:
        count, first: which seeds.
        split: "train" or "heldout".
        objects: 1 to 3, or None for a mixture.
        size: what `world.render` takes: frames, height, width, fps …

    Yields:
        The scene and its video.
    """

    def one(seed: int) -> tuple[world.Scene, Video]:
        scene = world.sample_scene(seed, split, objects)
        return scene, world.render(scene, **size)

    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        seeds, ahead = iter(range(first, first + count)), deque()
        try:
            for seed in seeds:
                ahead.append(pool.submit(one, seed))
                if len(ahead) > 2 * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
            torch.set_num_threads(threads)


def world_version() -> str:
    """Return a digest of the world's source, so that a changed world is filmed anew."""
    digest = hashlib.sha256()
    for path in sorted(Path(world.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def cache_path(kind: str, suffix: str, *what) -> Path:
    """Return where something that depends on `what` and on the world is cached."""
    digest = hashlib.sha256(repr((world_version(), what)).encode()).hexdigest()[:12]
    return cache_folder() / "data" / f"{kind}-{digest}{suffix}"


def write_array(path: Path, shape: tuple[int, ...], parts: Iterator[np.ndarray]) -> None:
    """Write a large uint8 array part by part, to be read with `np.load(path, mmap_mode="r")`."""

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:  # a memory map would crash on a full disk
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for part in parts:
                file.write(part.tobytes())

    write_whole(path, write)


def pixels(size: Size, first: int = 0, split: str = "train") -> np.ndarray:
    """Return filmed clips as uint8 `n t h w c`, read from disk as needed; film them if new."""
    path = cache_path("pixels", ".npy", size.count, size.filmed, first, split)
    if not path.is_file():
        shape = (size.count, size.frames, size.height, size.width, 3)
        clips = film(size.count, split, first, **size.filmed)
        bar = tqdm(clips, "filming", size.count, unit="clip")
        write_array(path, shape, (clip.frames for _, clip in bar))
    return np.load(path, mmap_mode="r")


class Batch(NamedTuple):
    """What a training step takes."""

    z: Tensor  # latents `b c t h w`
    texts: list[str]  # captions
    starts: Tensor  # bool `b`, whether the first latent frame begins a video
    cells: Tensor  # int64 `b t h w`, see `object_cells`
    sources: list[world.Scene | str]  # what was filmed, where it is known

    def images(self) -> Batch:
        """Return the first latent frames of those that begin a video."""
        z, texts, starts, cells, sources = self
        picks = starts.nonzero()[:, 0]
        texts, sources = [texts[i] for i in picks], [sources[i] for i in picks]
        return Batch(z[picks, :, :1], texts, starts[picks], cells[picks, :1], sources)


def object_cells(scene: world.Scene | str, t: int, h: int, w: int) -> Tensor:
    """Return which object a cell of a filmed clip's latents shows, int64 `t h w`, −1 for none.

    A cell shows an object if the square around the object's ball touches it in one of its four
    frames, and of several the nearest. Of a clip that was not filmed here nobody knows: −1.
    """
    if isinstance(scene, str):
        return torch.full((t, h, w), -1)
    shot = shoot(scene, 4 * t - 3)
    view = np.einsum("tij,toj->toi", shot.axes, shot.centers - shot.eye[:, None])
    scale = min(h, w) / 2 / shot.spread / view[..., 2]  # cells per unit of length
    reach = 1.15 * shot.radii * scale + 0.5
    rows = np.abs(np.arange(h) + 0.5 - (h / 2 - view[..., 1] * scale)[..., None]) < reach[..., None]
    cols = np.abs(np.arange(w) + 0.5 - (w / 2 + view[..., 0] * scale)[..., None]) < reach[..., None]
    inside = rows[..., :, None] & cols[..., None, :]  # t o h w
    depth = np.where(inside, view[..., 2][..., None, None], np.inf)
    depth = np.concatenate([depth[:1].repeat(3, 0), depth])
    depth = reduce(depth, "(t p) o h w -> t o h w", "min", p=4)
    return torch.from_numpy(np.where(np.isfinite(depth.min(1)), depth.argmin(1), -1))


@dataclass
class Bucket:
    """Latents of one size with what was filmed, from which captions are drawn."""

    latents: Tensor  # float16 `n c t h w`
    captions: list[world.Scene | str]
    share: float
    window: int

    def draw(self, count: int, rng: random.Random, levels: tuple = OFTEN) -> Batch:
        """Draw a batch of windows from random clips; `levels` is that of `draw_caption`."""
        picks = [rng.randrange(len(self.latents)) for _ in range(count)]
        last = max(0, self.latents.shape[2] - self.window)  # a shorter clip is taken whole
        offsets = [rng.randint(0, last) if rng.random() < 0.6 else 0 for _ in picks]
        cuts = [(i, slice(o, o + self.window)) for i, o in zip(picks, offsets, strict=True)]
        z = torch.stack([self.latents[i, :, cut] for i, cut in cuts])
        sources, grid = [self.captions[i] for i in picks], self.latents.shape[2:]
        texts = [draw_caption(source, rng, levels) for source in sources]
        cells = [object_cells(s, *grid)[cut] for s, (_, cut) in zip(sources, cuts, strict=True)]
        starts = torch.tensor([o == 0 for o in offsets])
        return Batch(z.float(), texts, starts, torch.stack(cells), sources)


def draw_caption(source: world.Scene | str, rng: random.Random, levels: tuple = OFTEN) -> str:
    """Draw one of a scene's captions, of `levels` that often; a given one is always itself."""
    if isinstance(source, str):
        return source
    return captions.describe(source, rng.choices(captions.LEVELS, levels)[0], rng)


def encode_all(vae, clips: Iterator[Video], count: int, batch: int = 16) -> Tensor:
    """Compress videos of one size to float16 latents `n c t h w`, with a progress bar."""
    device = next(vae.parameters()).device
    out, waiting = [], []
    for i, clip in enumerate(tqdm(clips, "filming and compressing", count, unit="clip")):
        waiting.append(clip.frames)
        if len(waiting) == batch or i == count - 1:
            with torch.no_grad(), autocast(device):
                z = vae.encode(frames_to_tensor(np.stack(waiting)).to(device))
            out.append(z.half().cpu())
            waiting = []
    return torch.cat(out).contiguous()


def bucket(vae, size: Size, first: int = 0, split: str = "train") -> Bucket:
    """Return a bucket of world clips, from the cache or filmed and compressed now."""
    what = (fingerprint(vae), size.count, size.filmed, first, split)
    path = cache_path("latents", ".safetensors", *what)
    if not path.is_file():
        scenes: list[world.Scene] = []

        def clips():
            for scene, clip in film(size.count, split, first, **size.filmed):
                scenes.append(scene)
                yield clip

        latents = encode_all(vae, clips(), size.count)
        text = json.dumps([asdict(scene) for scene in scenes])
        write_whole(path.with_suffix(".json"), lambda p: p.write_text(text, encoding="utf-8"))
        save_tensors(path, {"latents": latents})
    rows = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    scenes = [scene_from(row) for row in rows]
    return Bucket(load_file(path)["latents"], scenes, size.share, size.window)


def buckets(vae, sizes: tuple[Size, ...]) -> list[Bucket]:
    """Return training buckets, each of other scenes."""
    firsts = accumulate((size.count for size in sizes), initial=0)
    return [bucket(vae, size, first) for size, first in zip(sizes, firsts, strict=False)]


def scene_from(row: dict) -> world.Scene:
    """Rebuild a scene from `dataclasses.asdict`."""
    things = tuple(world.Thing(**thing) for thing in row["objects"])
    return world.Scene(**{**row, "objects": things, "camera": world.Camera(**row["camera"])})


def write_folder(
    folder: str | os.PathLike, clips: Iterator[tuple[str, Video]], **saving
) -> Iterator[Path]:
    """Write captioned clips as a videofolder: 0000.mp4 … beside metadata.jsonl.

    Args:
        folder: made if missing; it must be empty.
        clips: captions and videos.
        saving: of `Video.save`.

    Yields:
        Each file as it is written.

    Raises:
        ValueError: the folder already holds something.
    """
    folder = Path(folder)
    table = folder / "metadata.jsonl"
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"{folder} exists already and is not empty; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i, (text, clip) in enumerate(clips):
        path = folder / f"{i:04d}.mp4"
        clip.save(path, **saving)
        rows.append(json.dumps({"file_name": path.name, "text": text}, ensure_ascii=False))
        yield path
    write_whole(table, lambda p: p.write_text("\n".join(rows) + "\n", encoding="utf-8"))


def read_folder(folder: str | os.PathLike) -> list[tuple[Path, str]]:
    """Return the files and captions of a videofolder, anybody's.

    Args:
        folder: holds metadata.jsonl with rows {"file_name": "0000.mp4", "text": "…"}.

    Raises:
        ValueError: no metadata.jsonl, a damaged row, or a file that is missing.
    """
    table = Path(folder) / "metadata.jsonl"
    if not table.is_file():
        raise ValueError(f"{folder} has no metadata.jsonl; data/README.md shows the layout")
    rows = []
    for number, line in enumerate(table.read_bytes().split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8-sig"))  # some editors put a mark at the beginning
            path, text = table.parent / row["file_name"], row["text"]
            assert text.strip()
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError):
            raise ValueError(f"{table}, line {number}: not a row with file_name and text") from None
        if not path.is_file():
            raise ValueError(f"{table}, line {number}: {row['file_name']} is not there")
        rows.append((path, text))
    return rows
