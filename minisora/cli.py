"""The command line: generate, film, train, eval, bench. Heavy imports wait until needed."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

from minisora import __version__

MOST_PIXELS = 20_000_000  # in one filmed clip: it takes about 3 GB


def size(text: str) -> tuple[int, int]:
    """Read WIDTHxHEIGHT."""
    try:
        width, height = (int(part) for part in text.lower().replace("×", "x").split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, such as 64x64") from None
    return width, height


def seed(text: str) -> int:
    """Read a seed."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {2**32 - 1}")
    return int(text)


def device(text: str) -> str:
    """Read where to compute; `pick_device` sees whether it is there."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not cpu, cuda or auto")
    return text


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str):
        """Leave with exit status 2."""
        self.exit(2, f"minisora: error: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser("minisora", description="Sora, rebuilt at laptop scale.")
    parser.add_argument("--version", action="version", version=f"minisora {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    make = commands.add_parser("generate", help="make a video from a sentence")
    make.set_defaults(run=generate)
    example = '"a red sphere bounces, the camera orbits left"'
    make.add_argument("prompt", nargs="+", help=f"a sentence in quotes, such as {example}")
    kinds = "mp4, webm, gif, webp; png and jpg for one frame; no ending: a folder of PNGs"
    make.add_argument(
        "-o", "--out", type=Path, default="out.mp4", metavar="FILE", help=f"{kinds} (out.mp4)"
    )
    pixels = "in pixels, multiples of 16 (64x64)"
    make.add_argument("--size", type=size, default="64x64", metavar="WIDTHxHEIGHT", help=pixels)
    frames = "1, 5, 9, 13, 17 …; 8 are a second (17)"
    make.add_argument("--frames", type=int, default=17, help=frames)
    make.add_argument("--steps", type=int, default=25, help="of the sampler (25)")
    make.add_argument("--guidance", type=float, default=3.0, help="how strictly to follow (3)")
    make.add_argument("--solver", choices=("euler", "heun"), default="euler")
    make.add_argument("--negative", metavar="PROMPT", help="what is not wanted")
    make.add_argument("--seed", type=seed, help="repeats a video exactly; drawn if left out")
    make.add_argument("--scale", type=int, default=4, help="enlarge the file's pixels (4)")
    make.add_argument("--weights", type=Path, metavar="DIR", help="a folder of your own weights")
    make.add_argument("--device", type=device, default="auto", help="cpu, cuda or auto")

    studio = commands.add_parser("film", help="film scenes of the small world, with their captions")
    studio.set_defaults(run=film)
    kinds = "one scene: film.mp4; several: a folder with metadata.jsonl"
    studio.add_argument("-o", "--out", type=Path, metavar="FILE or DIR", help=kinds)
    studio.add_argument("--count", type=int, help="how many scenes; they go into a folder")
    studio.add_argument("--seed", type=seed, default=0, help="of the first scene (0)")
    studio.add_argument("--split", choices=("train", "heldout"), default="train")
    studio.add_argument("--objects", type=int, choices=(1, 2, 3), help="default: a mixture")
    pixels = "in pixels (one scene: 256x256; several: 64x64)"
    studio.add_argument("--size", type=size, metavar="WIDTHxHEIGHT", help=pixels)
    studio.add_argument("--frames", type=int, default=17)
    studio.add_argument("--fps", type=float, default=8.0, help="frames a second (8)")

    score = commands.add_parser("eval", help="measure the weights on held-out combinations")
    score.set_defaults(run=evaluate)
    score.add_argument("--clips", type=int, default=500, help="for the VAE's PSNR (500)")
    score.add_argument("--prompts", type=int, default=0, help="for the judge; 0: none (0)")
    score.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    score.add_argument(
        "--pictures", type=Path, metavar="DIR", help="also make heldout.png and hero.gif there"
    )
    score.add_argument("--weights", type=Path, metavar="DIR", help="a folder of your own weights")
    score.add_argument("--device", type=device, default="auto", help="cpu, cuda or auto")

    speed = commands.add_parser("bench", help="measure speed in shares of this machine's peak")
    speed.set_defaults(run=bench)
    speed.add_argument("--preset", choices=("smoke", "cpu", "gpu"), default="cpu")
    speed.add_argument("--quick", action="store_true", help="fewer figures, less exact")
    speed.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    speed.add_argument("--device", type=device, default="auto", help="cpu, cuda or auto")

    train = commands.add_parser("train", help="train one of the models")
    train.set_defaults(run=learn)
    train.add_argument("model", choices=("vae", "dit", "judge"))
    train.add_argument(
        "--preset",
        choices=("smoke", "cpu", "gpu"),
        default="cpu",
        help="smoke: seconds; cpu: two cores, minutes; gpu: one card",
    )
    train.add_argument("--seed", type=seed, default=0)
    train.add_argument(
        "--out", type=Path, metavar="DIR", help="where the weights go (default: weights)"
    )
    train.add_argument("--restart", action="store_true", help="forget an interrupted training")
    train.add_argument("--device", type=device, default="auto", help="cpu, cuda or auto")
    return parser


def generate(args: argparse.Namespace) -> None:
    """Make one video and say where it is."""
    began, (width, height), prompt = time.perf_counter(), args.size, " ".join(args.prompt)
    if len(args.prompt) > 1:
        raise ValueError(f'put the prompt in quotes: minisora generate "{prompt}"')
    from tqdm import tqdm

    from minisora import sora as models
    from minisora.codecs import check_output
    from minisora.text import split

    check_output(args.out.expanduser(), args.frames, height, width, args.scale)
    split(prompt)  # an empty one is told before the weights are read
    if args.negative:
        split(args.negative)
    sora = models.load(args.weights, args.device)
    sora.check_size(width, height, args.frames)
    print(f"making {args.frames} frames of {width}x{height} on {sora.device}: {prompt[:200]!r}")
    with tqdm(total=args.steps, unit="step", disable=None, leave=False) as bar:
        video = sora.generate(
            prompt,
            width=width,
            height=height,
            frames=args.frames,
            steps=args.steps,
            guidance=args.guidance,
            solver=args.solver,
            negative=args.negative,
            seed=args.seed,
            on_step=lambda step: bar.update(),
        )
    video.save(args.out, scale=args.scale)
    seconds = time.perf_counter() - began
    shown = f", each pixel shown {args.scale}x{args.scale}" if args.scale > 1 else ""
    print(
        f"{args.out}: {video.seconds:.1f} s of video{shown}; seed {video.provenance['seed']}; "
        f"took {seconds:.1f} s"
    )


def film(args: argparse.Namespace) -> None:
    """Film one scene into a file, or several into a folder."""
    from tqdm import tqdm

    from minisora import data, world
    from minisora.codecs import check_output
    from minisora.files import write_whole

    count = 1 if args.count is None else args.count
    if count < 1:
        raise ValueError(f"--count must be 1 or more, not {count}")
    width, height = args.size or ((256, 256) if args.count is None else (64, 64))
    if min(args.frames, width, height) < 1 or not 0 < args.fps < float("inf"):
        raise ValueError(
            f"cannot film {args.frames} frames of {width}x{height} at {args.fps:g} frames a "
            "second: all must be positive"
        )
    if args.frames * width * height > MOST_PIXELS:
        raise ValueError(
            f"{args.frames} frames of {width}x{height} are over {MOST_PIXELS / 1e6:.0f} million "
            "pixels, too many to film at once; make it smaller or shorter"
        )
    shape = dict(frames=args.frames, width=width, height=height, fps=args.fps)
    if args.count is None:
        out = args.out or Path("film.mp4")
        check_output(out.expanduser(), args.frames, height, width)
        scene = world.sample_scene(args.seed, args.split, args.objects)
        print(f"filming {args.frames} frames of {width}x{height}: {scene.caption}")
        world.render(scene, **shape).save(out)
        print(f"{out}: {args.frames / args.fps:.1f} s of video")
        return
    out = args.out or Path("film")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"{out} exists already and is not an empty folder; choose another")

    def write(folder: Path) -> None:
        clips = data.film(count, args.split, args.seed, args.objects, **shape)
        files = data.write_folder(folder, ((scene.caption, clip) for scene, clip in clips))
        for _ in tqdm(files, "filming", count, unit="clip", disable=None):
            pass

    write_whole(out, write, folder=True)
    print(f"{out}: {count} clips with their captions in metadata.jsonl")


def evaluate(args: argparse.Namespace) -> None:
    """Print figures on held-out clips and prompts, and make the pictures of the README."""
    from minisora import evaluate as measures
    from minisora import sora as models
    from minisora.files import write_whole

    if args.clips < 1:
        raise ValueError(f"--clips must be 1 or more, not {args.clips}")
    if args.prompts and args.prompts < 4:
        raise ValueError(f"--prompts must be 0 or at least 4, not {args.prompts}")
    if args.json and args.json.is_dir():
        raise ValueError(f"cannot write {args.json}: it is a folder")
    sora = models.load(args.weights, args.device)
    judge = measures.load_judge(args.weights).to(sora.device) if args.prompts else None
    scores, inside = measures.compress_held_out(sora, args.clips)
    low, high = scores.quantile(0.1), scores.quantile(0.9)
    print(f"VAE, {args.clips} held-out clips: mean PSNR {scores.mean():.2f} dB", end=" ")
    print(f"(a tenth below {low:.2f}, a tenth above {high:.2f}); objects {inside.mean():.2f} dB")
    found = dict(model=sora.model, clips=args.clips, psnr=scores.mean().item())
    found["psnr_objects"] = inside.mean().item()
    if judge:
        found |= measures.measure(sora, judge, args.prompts)
        print(measures.as_text(found))
    if args.json:
        text = json.dumps(found, indent=2) + "\n"
        write_whole(args.json, lambda path: path.write_text(text, encoding="utf-8"))
    if args.pictures:
        args.pictures.mkdir(parents=True, exist_ok=True)
        measures.sheet(sora, args.pictures / "heldout.png")
        measures.hero(sora, args.pictures / "hero.gif")
        print(f"{args.pictures}: heldout.png and hero.gif")


def bench(args: argparse.Namespace) -> None:
    """Print how fast this machine runs minisora."""
    from minisora import bench as speed

    speed.run(args.preset, args.device, args.quick, args.json)


def learn(args: argparse.Namespace) -> None:
    """Train one of the models, with a progress bar; Ctrl-C saves, the same command goes on."""
    from minisora import recipes

    stop, out = [], args.out or Path("weights")

    def interrupt(*_) -> None:
        if stop:  # the second time, or while filming
            raise KeyboardInterrupt
        stop.append(True)
        told = b"\nstopping after this step; Ctrl-C again stops at once\n"
        os.write(2, told)  # the bar may be in the middle of a print

    print(f"training the {args.model}, preset {args.preset}; its weights go to {out}")
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        done = recipes.run(args.model, args.preset, args.seed, out, args.device, args.restart, stop)
    finally:
        signal.signal(signal.SIGINT, before)
    if not done:
        print("\nstopped and saved; the same command goes on from here")
        sys.exit(130)
    print(f"{out / args.model}.safetensors, with its card and curve beside it")


def main(argv: list[str] | None = None) -> None:
    """Run a command; whatever the user got wrong is told in one line, with exit status 2."""
    args = build_parser().parse_args(argv)
    with suppress(AttributeError):  # what a terminal cannot show must not stop the work
        sys.stdout.reconfigure(errors="backslashreplace")
    warnings.showwarning = lambda message, *_, **__: print(f"minisora: {message}", file=sys.stderr)
    try:
        args.run(args)
    except (ValueError, OSError, MemoryError, ArithmeticError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):  # so says torch
            raise
        told = " ".join(str(error).split()) or "out of memory; make it smaller or shorter"
        print(f"minisora: error: {told}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nminisora: stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
