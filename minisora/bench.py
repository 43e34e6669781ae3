"""How fast a machine runs minisora: `minisora bench`, in shares of its own matmul peak.

Seconds on one machine say little about another. What a processor or card reaches in plain matrix
products, measured in the same run, says how much of it the code puts to use; arithmetic is
counted, not guessed. Every time is the median of several, on random weights, clips and latents.
"""

from __future__ import annotations

import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import count, pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from minisora import data, train, world
from minisora.checkpoints import MODELS
from minisora.device import autocast, fast_dtype, pick_device
from minisora.dit import DiTConfig
from minisora.files import write_whole
from minisora.presets import PRESETS, Preset
from minisora.recipes import hardware
from minisora.sampler import sample
from minisora.sora import Sora
from minisora.text import batch_tokens, tokenize
from minisora.train_dit import dit_loss
from minisora.vae import VAE

PROMPT = "a red sphere bounces on a checkered floor, the camera orbits left"
REFERENCE = 150.0  # GFLOP/s, the matmul peak at which our targets in seconds are meant
PATIENCE = 2.0  # seconds for one size of matrix product: bfloat16 may be emulated
COLUMNS = dict(seconds="seconds", scaled="at 150", gflop="GFLOP", rate="GFLOP/s")
COLUMNS |= dict(share="of peak", megabytes="MB", power="power")


@dataclass(frozen=True)
class Row:
    """What was measured of one piece of work."""

    part: str  # the table that it belongs to
    name: str
    seconds: float | None = None  # the median
    gflop: float | None = None  # its arithmetic, in thousand millions of operations
    peak: float | None = None  # GFLOP/s of matrix products here, in the precision of the work
    megabytes: float | None = None  # the most memory held, in millions of bytes
    power: float | None = None  # p, if seconds grew as size^p since the row above

    @property
    def rate(self) -> float | None:
        """GFLOP/s."""
        return self.gflop and self.gflop / self.seconds

    def figures(self) -> dict:
        """Return all of it with what follows: rate, share of the peak, seconds at a peak of 150."""
        share = self.rate and self.peak and self.rate / self.peak
        scaled = self.peak and self.seconds * self.peak / REFERENCE
        return asdict(self) | dict(rate=self.rate, share=share, scaled=scaled)


@dataclass(frozen=True)
class Watch:
    """Times work on a device."""

    device: torch.device
    times: int = 7  # of which the median is taken
    peak: float | None = None  # see `Row`

    def seconds(self, work: Callable[[], object]) -> float:
        """Return the median time of a piece of work, which is done once before to warm up."""
        taken = []
        for _ in range(self.times + 1):
            began = time.perf_counter()
            work()
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            taken.append(time.perf_counter() - began)
        return statistics.median(taken[1:])

    def row(self, part: str, name: str, work: Callable[[], object]) -> Row:
        """Time a piece of work and count its arithmetic."""
        return Row(part, name, self.seconds(work), gflop(work), self.peak)


def gflop(work: Callable[[], object]) -> float:
    """Return the GFLOP of a piece of work's matrix products and convolutions.

    Attention counts as two products, and four backward: torch does not count the fused one on
    processors, and what that computes twice is no progress.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e9


def matmul(watch: Watch, dtype: torch.dtype) -> Row:
    """Return the fastest of matrix products of growing size: the peak in a precision."""
    best, name = None, str(dtype).removeprefix("torch.")
    for n in (256, 512, 1024, 2048, 4096, 8192):
        work = 2 * n**3 / 1e9
        if best and work / best.rate * (watch.times + 1) > PATIENCE:
            break
        a = torch.randn(n, n, device=watch.device).to(dtype)
        row = Row("matmul", f"{name}, {n}x{n}", watch.seconds(partial(torch.mm, a, a)), work)
        best = max(best or row, row, key=lambda row: row.rate)
    return best


def awake(kind: str, config, device: torch.device) -> nn.Module:
    """Return a model with random weights also where a new one has zeros, which hide work."""
    torch.manual_seed(0)
    model = MODELS[kind][0](config)
    for p in model.parameters():
        if not p.any():
            nn.init.normal_(p, std=0.02)
    return model.to(device)


def pipeline(preset: str, device: torch.device) -> Sora:
    """Return a preset's models, random, put together."""
    return Sora(*(awake(kind, PRESETS[kind][preset].config, device) for kind in ("vae", "dit")))


def batch_loss(model: nn.Module, preset: Preset, device: torch.device) -> Callable[[int], Tensor]:
    """Return the loss of a step, given its number, on random clips of 17x64x64."""
    b = preset.batch
    if isinstance(model, VAE):
        x = torch.rand(b, 3, 17, 64, 64).to(device) * 2 - 1
        return lambda _: train.vae_loss(model, x, preset.beta)
    z = torch.randn(b, model.config.channels, 5, 8, 8)
    batch = data.Bucket(z, [*map(world.sample_scene, range(b))], 1.0, 5).draw(b, random.Random(0))
    return lambda _: dit_loss(model, batch, preset, device, 0, preset.steps - 1)  # no patch waits


def training(watch: Watch, kind: str, preset: Preset) -> Iterator[Row]:
    """Yield a model's forward and backward pass, Muon alone, and the whole step of `train.loop`."""
    part = f"training the {kind}, batch {preset.batch}"
    model = awake(kind, preset.config, watch.device)
    loss_of = batch_loss(model, preset, watch.device)

    def both() -> None:
        model.zero_grad(set_to_none=True)
        loss_of(0).backward()

    passes = watch.row(part, "forward and backward", both)
    yield passes
    yield watch.row(part, "Muon", train.optimizers(model, preset)[0].step)
    recipe = replace(preset, steps=watch.times + 2, check_every=sys.maxsize)
    ends = [r.seconds for r in train.loop(model, recipe, loss_of, lambda: 0.0, None)]
    step = statistics.median(b - a for a, b in pairwise(ends[1:]))
    yield Row(part, "whole step", step, passes.gflop, watch.peak)  # Muon's is not what it is for


@torch.no_grad()
def using(watch: Watch, preset: str) -> Iterator[Row]:
    """Yield what makes a video, warm."""
    part, sora = "one video of 17x64x64, warm", pipeline(preset, watch.device)
    noise, x = sora.draw_noise(1, 64, 64, 17, seed=0), torch.rand(1, 3, 17, 64, 64) * 2 - 1
    x = x.to(watch.device)
    words = [batch_tokens([tokens], watch.device) for tokens in (tokenize(PROMPT), None)]
    with autocast(watch.device):
        yield watch.row(part, "sampling", lambda: list(sample(sora.dit, noise, *words)))
        yield watch.row(part, "decoding", lambda: sora.decode(noise))
        yield watch.row(part, "encoding", lambda: sora.vae.encode(x))


def filming(watch: Watch, clips: int) -> Iterator[Row]:
    """Yield what one clip of the world costs, scene sampling included."""
    part, threads, seeds = "filming one clip of 17x64x64", torch.get_num_threads(), count()
    torch.set_num_threads(1)
    one = watch.seconds(lambda: world.render(world.sample_scene(next(seeds))))
    torch.set_num_threads(threads)
    many = watch.seconds(lambda: list(data.film(clips))) / clips
    for name, seconds in (("world.render alone", one), (f"data.film, {threads} threads", many)):
        yield Row(part, f"{name}: {1 / seconds:.0f}/s", seconds)


@torch.no_grad()
def growth(watch: Watch, config: DiTConfig, few: int) -> Iterator[Row]:
    """Yield how a transformer's pass on two clips grows with patches (frames, size) and width."""
    tokens, n = batch_tokens([tokenize(PROMPT)] * 2, watch.device), config.heads
    widths = {heads: heads * config.width // n for heads in (n // 2, n, n * 3 // 2)}
    axes = {
        "frames": [(config, frames, 64) for frames in (17, 33, 65)],
        "size": [(config, 17, side) for side in (64, 96, 128)],
        "width": [(replace(config, heads=h, width=w), 17, 64) for h, w in widths.items()],
    }
    for axis, cases in axes.items():
        before = None
        for c, frames, side in cases[:few]:
            z = torch.randn(2, c.channels, frames // 4 + 1, side // 8, side // 8).to(watch.device)
            tau, dit = torch.ones(2, z.shape[2]).to(watch.device), awake("dit", c, watch.device)
            name = f"{frames}x{side}x{side}, width {c.width}"
            with autocast(watch.device):
                row = watch.row(f"one pass by {axis}", name, partial(dit, z, tau, tokens))
            point = (c.width if axis == "width" else z.numel(), row.seconds)
            yield replace(row, power=before and power(before, point))
            before = point


def power(one: tuple[float, float], two: tuple[float, float]) -> float:
    """Return p of the curve y = a·x^p through two points (x, y)."""
    return math.log(two[1] / one[1]) / math.log(two[0] / one[0])


def apart(watch: Watch, preset: str) -> Iterator[Row]:
    """Yield what takes processes of their own: the command from cold, and peaks of memory."""
    words = ["minisora.cli", "generate", PROMPT, "--seed", "0", "--device", str(watch.device)]
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", *words, "-o", str(Path(folder) / "cold.mp4")]
        seconds = watch.seconds(partial(subprocess.check_output, words))
    yield Row("one video of 17x64x64, from cold", "minisora generate", seconds, peak=watch.peak)
    if sys.platform == "win32":
        return  # Python has no way to ask Windows for the memory
    for what in ("sampling", "dit", "vae"):
        call = f"bench.rehearse({what!r}, {preset!r}, {str(watch.device)!r})"
        code = f"from minisora import bench; print({call})"
        most = float(subprocess.check_output([sys.executable, "-c", code]))
        yield Row("memory of a process", what, megabytes=most)


def rehearse(what: str, preset: str, device: str) -> float:
    """Do "sampling", or three steps of training the "dit" or "vae"; return the peak memory, MB."""
    chosen = torch.device(device)
    if what == "sampling":
        pipeline(preset, chosen).generate(PROMPT, seed=0)
    else:
        recipe = replace(PRESETS[what][preset], steps=3)
        model = awake(what, recipe.config, chosen)
        list(train.loop(model, recipe, batch_loss(model, recipe, chosen), lambda: 0.0, None))
    if chosen.type == "cuda":
        return torch.cuda.max_memory_allocated(chosen) / 1e6
    status = Path("/proc/self/status")
    if status.is_file():  # Linux, where ru_maxrss begins at that of the process that started us
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def measure(preset: str, device: torch.device, quick: bool = False) -> Iterator[Row]:
    """Yield every figure; quick ones are medians of three and need no process of their own."""
    watch, fast = Watch(device, 3 if quick else 7), fast_dtype(device)
    peaks = {dtype: matmul(watch, dtype) for dtype in (torch.float32, torch.bfloat16)}
    yield from peaks.values()
    watch = replace(watch, peak=peaks[fast].rate)
    for kind in ("dit", "vae"):
        yield from training(watch, kind, PRESETS[kind][preset])
    yield from using(watch, preset)
    yield from filming(watch, 4 if quick else 40)
    yield from growth(watch, PRESETS["dit"][preset].config, 2 if quick else 3)
    if not quick:
        yield from apart(watch, preset)
    yield replace(matmul(watch, fast), part="matmul once more: was the machine ours?")


def run(preset: str, device: str, quick: bool, out: Path | None) -> None:
    """Print every figure as it comes, and write all of them to a JSON file."""
    if out and out.is_dir():  # better told now than in minutes
        raise ValueError(f"cannot write {out}: it is a folder")
    chosen, rows = pick_device(device), []
    print(f"preset {preset} on {hardware(chosen)}")
    print(" " * 32 + "".join(f"{heading:>9}" for heading in COLUMNS.values()))
    with tqdm(measure(preset, chosen, quick), "measuring", unit="figure", disable=None) as bar:
        for row in bar:
            title = "" if rows and rows[-1].part == row.part else f"{row.part}\n"
            bar.write(title + as_text(row))
            rows.append(row)
    if out:
        found = dict(preset=preset, hardware=hardware(chosen), torch=torch.__version__)
        text = json.dumps(found | {"rows": [row.figures() for row in rows]}, indent=1) + "\n"
        write_whole(out, lambda path: path.write_text(text, encoding="utf-8"))


def as_text(row: Row) -> str:
    """Return a row as a line of the table, each number with three digits or, if large, whole."""
    cells = (row.figures()[name] for name in COLUMNS)
    cells = ("" if x is None else f"{x:,.0f}" if x >= 100 else f"{x:.3g}" for x in cells)
    return f"  {row.name:30}{''.join(f'{cell:>9}' for cell in cells)}".rstrip()
