"""The command line: the words of every command. Heavy imports wait until needed."""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from contextlib import suppress
from pathlib import Path

from minisora import __version__
from minisora import commands as do

PRESETS = ("smoke", "cpu", "gpu")
PROMPTED = {  # command: how many files it takes, its frames if they can be chosen, what it does
    "generate": (0, 17, "make a video from a sentence"),
    "animate": (1, 17, "make a picture move: it is the first frame"),
    "extend": (1, 16, "continue a clip, or make what led to it"),
    "loop": (1, 12, "make a clip go round"),
    "connect": (2, 12, "make what leads from one clip to another"),
    "fill": (1, None, "make the frames of a clip that are not given"),
    "edit": (1, None, "change what a clip shows and keep how it moves"),
    "long": (0, None, "make a video of a minute, from one prompt or one for each shot"),
}


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

    for name in PROMPTED:
        add_prompted(commands, name)

    tell = commands.add_parser("caption", help="say what a picture or clip shows")
    tell.set_defaults(run=do.caption)
    kinds = "png, jpg, gif, mp4 … of any size and speed, or a folder of PNGs"
    tell.add_argument("file", metavar="FILE", help=kinds)
    tell.add_argument("--sure", type=float, default=0.5, help="leave out what is less likely (0.5)")
    tell.add_argument("--weights", type=Path, metavar="DIR", help="a folder of your own weights")
    tell.add_argument("--device", type=device, default="auto", help="cpu, cuda or auto")

    studio = commands.add_parser("film", help="film scenes of the small world, with their captions")
    studio.set_defaults(run=do.film)
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
    add_saving(studio)

    check = commands.add_parser("verify", help="read a file's content credentials, who made it how")
    check.set_defaults(run=do.verify)
    kinds = "mp4, gif, webp, png, jpg, or a folder of PNGs"
    check.add_argument("file", type=Path, metavar="FILE", help=kinds)
    check.add_argument("--trusted", action="store_true", help="pass only whom a --root vouches for")
    told = "a PEM file of certificates to trust"
    check.add_argument("--root", type=Path, action="append", default=[], metavar="FILE", help=told)

    trace = commands.add_parser("detect", help="look for the invisible mark of what minisora made")
    trace.set_defaults(run=do.detect)
    trace.add_argument("files", nargs="+", metavar="FILE", help="a picture or a clip")
    add_measuring(commands)

    train = commands.add_parser("train", help="train one of the models")
    train.set_defaults(run=do.learn)
    train.add_argument("model", choices=("vae", "dit", "judge", "captioner"))
    about = "smoke: seconds; cpu: two cores, minutes; gpu: one card"
    about += "; polish, then finish: go on from the finished transformer in --out"
    kinds = (*PRESETS, "polish", "finish")
    train.add_argument("--preset", choices=kinds, default="cpu", help=about)
    train.add_argument("--seed", type=seed, default=0)
    train.add_argument("--out", type=Path, metavar="DIR", help="where the weights go (weights)")
    train.add_argument("--restart", action="store_true", help="forget an interrupted training")
    train.add_argument("--device", type=device, default="auto", help="cpu, cuda or auto")
    return parser


def add_making(command: argparse.ArgumentParser) -> None:
    """Add what all commands that make a video have: its file and how the sampler works."""
    kinds = "mp4, webm, gif, webp; png and jpg for one frame; no ending: a folder of PNGs (out.mp4)"
    command.add_argument("-o", "--out", type=Path, default="out.mp4", metavar="FILE", help=kinds)
    command.add_argument("--steps", type=int, default=10, help="of the sampler (10)")
    command.add_argument("--guidance", type=float, default=3.0, help="how strictly to follow (3)")
    command.add_argument("--solver", choices=("adams", "euler", "heun"), default="adams")
    command.add_argument("--negative", metavar="PROMPT", help="what is not wanted")
    command.add_argument("--as-written", action="store_true", help="do not expand the prompt")
    command.add_argument("--seed", type=seed, help="repeats a video exactly; drawn if left out")
    command.add_argument("--scale", type=int, default=4, help="enlarge the file's pixels (4)")
    add_saving(command)
    command.add_argument("--weights", type=Path, metavar="DIR", help="a folder of your own weights")
    command.add_argument("--device", type=device, default="auto", help="cpu, cuda or auto")


def add_saving(command: argparse.ArgumentParser) -> None:
    """Add what a file tells about its origin."""
    command.add_argument("--private", action="store_true", help="sign without prompt, seed, model")
    command.add_argument("--mark", action="store_true", help="draw AI into a corner")


def add_prompted(commands, name: str) -> None:
    """Add a command that makes a video from words, and most of them from pictures or videos."""
    files, frames, about = PROMPTED[name]
    command = commands.add_parser(name, help=about)
    command.set_defaults(run=do.prompted, files=[])
    if files:
        kinds = "png, jpg, gif, mp4 … of any size and speed, or a folder of PNGs"
        command.add_argument("files", nargs=files, metavar="FILE", help=kinds)
    words = 'what is to be seen, in quotes, such as "a red sphere bounces, the camera orbits left"'
    words += "; one for each shot" if name == "long" else ""
    command.add_argument("prompt", nargs="+", help=words)
    if frames:
        told = "1, 5, 9, 13, 17 …" if frames == 17 else "to add"
        told += f"; 8 are a second ({frames})"
        command.add_argument("--frames", type=int, default=frames, help=told)
    if name == "extend":
        command.add_argument("--direction", choices=("forward", "backward"), default="forward")
    if name == "fill":
        told = "frames that stay: 0-8,25-32; in whole groups, 0, 1-4, 5-8, 9-12 …"
        command.add_argument("--given", required=True, metavar="FRAMES", help=told)
    if name == "edit":
        told = "0: nothing changes; 1: nothing is kept (0.6)"
        command.add_argument("--strength", type=float, default=0.6, help=told)
    if name == "long":
        command.add_argument("--seconds", type=float, default=60.0, help="up to 600 (60)")
    told = "in pixels, multiples of 16 (64x64" + (", or of like shape" if files else "")
    command.add_argument("--size", type=size, metavar="WIDTHxHEIGHT", help=f"{told})")
    add_making(command)


def add_measuring(commands) -> None:
    """Add the commands that measure."""
    score = commands.add_parser("eval", help="measure the weights on held-out combinations")
    score.set_defaults(run=do.evaluate)
    score.add_argument("--clips", type=int, default=500, help="for the VAE's PSNR (500)")
    score.add_argument("--prompts", type=int, default=0, help="for the judge; 0: none (0)")
    score.add_argument("--captions", action="store_true", help="have their clips captioned")
    told = "cases of animating, extending, looping …; 0: none (0)"
    score.add_argument("--tasks", type=int, default=0, help=told)
    score.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    told = "also draw the pictures of the README there"
    score.add_argument("--pictures", type=Path, metavar="DIR", help=told)
    score.add_argument("--weights", type=Path, metavar="DIR", help="a folder of your own weights")
    score.add_argument("--device", type=device, default="auto", help="cpu, cuda or auto")

    told = "count what the policy catches, and what it should not"
    attack = commands.add_parser("redteam", help=told)
    attack.set_defaults(run=do.redteam)
    told = "first learn the policy's second look anew from the set (half a minute)"
    attack.add_argument("--learn", action="store_true", help=told)
    told = "attack with your own prompts: a folder with unsafe.tsv and harmless.tsv"
    attack.add_argument("--prompts", type=Path, metavar="DIR", help=told)
    told = "also draw it, as png, svg or pdf"
    attack.add_argument("--plot", type=Path, metavar="FILE", help=told)

    speed = commands.add_parser("bench", help="measure speed in shares of this machine's peak")
    speed.set_defaults(run=do.bench)
    speed.add_argument("--preset", choices=PRESETS, default="cpu")
    speed.add_argument("--quick", action="store_true", help="fewer figures, less exact")
    speed.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    speed.add_argument("--device", type=device, default="auto", help="cpu, cuda or auto")

    race = commands.add_parser("speedrun", help="from nothing to a judged model, timed")
    race.set_defaults(run=do.speedrun)
    race.add_argument("--preset", choices=("speedrun", "smoke"), default="speedrun")
    race.add_argument("--seed", type=seed, default=0)
    told = "a new folder for weights, log and curve (speedrun)"
    race.add_argument("--out", type=Path, default="speedrun", metavar="DIR", help=told)
    race.add_argument("--prompts", type=int, default=500, help="held-out ones, for the judge (500)")
    race.add_argument("--device", type=device, default="auto", help="cpu, cuda or auto")


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
