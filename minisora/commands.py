"""What each command does; `cli.py` reads its words. Heavy imports wait until needed."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

MOST_PIXELS = 20_000_000  # in one filmed clip: it takes about 3 GB


def prompted(args: argparse.Namespace) -> None:
    """Make one video from words and files, with the method of `Sora` named as the command.

    What was done to fit the files, and what of the words cannot be, is told by warnings, a line
    each.
    """
    from minisora.expand import readings
    from minisora.policy import require
    from minisora.sampler import draw_seed

    began, prompts, rolls = time.perf_counter(), prompts_of(args), args.command == "long"
    names = ("frames", "direction", "strength", "seconds")
    options = {name: getattr(args, name) for name in names if hasattr(args, name)}
    if args.size:
        options["width"], options["height"] = args.size
    frames = 1 + round(8 * args.seconds) if rolls and 0 < args.seconds <= 600 else 1
    check_words(args, prompts, options.get("frames", frames), *(args.size or (64, 64)))
    sora = load(args)
    files = " and ".join(args.files)
    print(f"{args.command} {files}{files and ' '}on {sora.device}: {' / '.join(prompts)[:200]!r}")
    args.seed = draw_seed(args.seed)  # it decides what is filled in, too
    editing = args.command == "edit"  # what its prompt leaves open is as the clip shows it
    how = not (args.as_written or editing)
    texts = readings(prompts, how, [args.seed] * len(prompts), not args.files)
    require(*texts, ". ".join(texts))
    print(*(f"expanded: {text}\n" for text in texts if text not in prompts), sep="", end="")
    given = [args.given] if args.command == "fill" else []
    words = [*args.files, *given, prompts if rolls else prompts[0]]
    options["expand"] = not args.as_written if editing else texts
    video = watched(getattr(sora, args.command), args, *words, **options)
    if editing and video.provenance.get("expand"):
        print(f"read as: {video.provenance['expand']}")
    save(args, video, began)


def prompts_of(args: argparse.Namespace) -> list[str]:
    """Return the prompt, or for `long` that of each shot; or tell that the quotes are missing."""
    shots = args.command == "long" and any(" " in text for text in args.prompt)
    if len(args.prompt) > 1 and not shots:
        words = " ".join([args.command, *getattr(args, "files", [])])
        told = f'minisora {words} "{" ".join(args.prompt)}"'
        raise ValueError(f"put the prompt in quotes: {told}")
    return args.prompt


def check_words(args, prompts: list[str], frames: int, width: int, height: int) -> None:
    """Refuse a file that cannot be written, an empty or a forbidden prompt, before the weights."""
    from minisora.codecs import check_output
    from minisora.policy import require
    from minisora.text import split

    check_output(args.out.expanduser(), frames, height, width, args.scale)
    prompts = [*prompts, *([args.negative] if args.negative else [])]
    for text in prompts:
        split(text)
    require(*prompts, ". ".join(prompts))


def load(args: argparse.Namespace):
    """Return the model that a command asks for."""
    from minisora import sora

    return sora.load(args.weights, args.device)


def watched(make, args: argparse.Namespace, *words, **options):
    """Return the video that `make` makes with the options of `cli.add_making`, behind a bar."""
    from tqdm import tqdm

    for name in ("steps", "guidance", "solver", "negative", "seed"):
        options[name] = getattr(args, name)
    with tqdm(total=args.steps, unit="step", disable=None, leave=False) as bar:

        def show(step) -> None:
            bar.total = step.steps
            bar.update()

        return make(*words, on_step=show, **options)


def save(args: argparse.Namespace, video, began: float) -> None:
    """Write a video and say where it is, its seed and how long it took."""
    video.save(args.out, scale=args.scale, private=args.private, mark=args.mark)
    shown = f", each pixel shown {args.scale}x{args.scale}" if args.scale > 1 else ""
    about = f"{video.seconds:.1f} s of video{shown}; seed {video.provenance['seed']}"
    print(f"{args.out}: {about}; took {time.perf_counter() - began:.1f} s")


def caption(args: argparse.Namespace) -> None:
    """Say what a picture or clip shows, and of what the captioner is not sure."""
    if not 0 <= args.sure <= 1:
        raise ValueError(f"--sure is a number from 0 to 1, not {args.sure}")
    found = load(args).caption(args.file, args.sure)
    print(found.text or "nothing that I am sure of")
    unsure = ", ".join(f"{name} ({found.chances[name]:.0%} sure)" for name in found.unsure)
    sure = f"{found.confidence:.0%} sure of every word"
    print(f"left out as not sure enough: {unsure}" if unsure else sure)


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
        told = f"{args.frames} frames of {width}x{height} at {args.fps:g} frames a second"
        raise ValueError(f"cannot film {told}: all must be positive")
    if args.frames * width * height > MOST_PIXELS:
        told = f"{args.frames} frames of {width}x{height} are over {MOST_PIXELS / 1e6:.0f} million"
        raise ValueError(told + " pixels, too many to film at once; make it smaller or shorter")
    shape = dict(frames=args.frames, width=width, height=height, fps=args.fps)
    if args.count is None:
        out = args.out or Path("film.mp4")
        check_output(out.expanduser(), args.frames, height, width)
        scene = world.sample_scene(args.seed, args.split, args.objects)
        print(f"filming {args.frames} frames of {width}x{height}: {scene.caption}")
        world.render(scene, **shape).save(out, private=args.private, mark=args.mark)
        print(f"{out}: {args.frames / args.fps:.1f} s of video")
        return
    out = args.out or Path("film")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"{out} exists already and is not an empty folder; choose another")

    def write(folder: Path) -> None:
        clips = data.film(count, args.split, args.seed, args.objects, **shape)
        told = ((scene.caption, clip) for scene, clip in clips)
        files = data.write_folder(folder, told, private=args.private, mark=args.mark)
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
    if args.tasks < 0:
        raise ValueError(f"--tasks must be 0 or more, not {args.tasks}")
    if args.json and args.json.is_dir():
        raise ValueError(f"cannot write {args.json}: it is a folder")
    sora, judge = models.load(args.weights, args.device), None
    if args.prompts or args.tasks:
        judge = measures.load_judge(args.weights).to(sora.device)
    scores, inside = measures.compress_held_out(sora, args.clips)
    low, high = scores.quantile(0.1), scores.quantile(0.9)
    print(f"VAE, {args.clips} held-out clips: mean PSNR {scores.mean():.2f} dB", end=" ")
    print(f"(a tenth below {low:.2f}, a tenth above {high:.2f}); objects {inside.mean():.2f} dB")
    found = dict(model=sora.model, clips=args.clips, psnr=scores.mean().item())
    found["psnr_objects"] = inside.mean().item()
    if args.prompts:
        found |= measures.measure(sora, judge, args.prompts, args.captions)
        print(measures.as_text(found))
    if args.tasks:
        from minisora import tasks

        found |= tasks.measure(sora, judge, args.tasks)
        print(tasks.as_text(found))
    if args.json:
        text = json.dumps(found, indent=2) + "\n"
        write_whole(args.json, lambda path: path.write_text(text, encoding="utf-8"))
    if args.pictures:
        from minisora import pictures

        print(*pictures.draw(sora, args.pictures))


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
        # not with print: this may interrupt the bar while it prints
        os.write(2, b"\nstopping after this step; Ctrl-C again stops at once\n")

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


def verify(args: argparse.Namespace) -> None:
    """Print what a file's credentials say; exit 0 only if they are valid, else 1."""
    from minisora.verify import report

    text, good = report(args.file, args.trusted, args.root)
    print(text)
    sys.exit(0 if good else 1)


def detect(args: argparse.Namespace) -> None:
    """Look for the mark in files; exit status 1 unless all of them bear it."""
    from minisora.video import Video
    from minisora.watermark import ALARM
    from minisora.watermark import detect as look

    marks = []
    for file in args.files:
        marks.append(look(Video.load(file).frames))
        told = "made by minisora: its mark is in" if marks[-1].found else "no mark found"
        print(f"{file}: {told} (z {marks[-1].z:.1f}; chance {marks[-1].chance:.1g})")
    print(f"chance alone looks so in {ALARM:.2%} of files at most; no mark proves nothing")
    sys.exit(0 if all(mark.found for mark in marks) else 1)


def redteam(args: argparse.Namespace) -> None:
    """Attack the policy with the documented prompts; print and plot what it caught."""
    from minisora import redteam as attacks

    if args.learn:
        attacks.relearn()
    table = attacks.attack(folder=args.prompts or attacks.PROMPTS)
    print(attacks.as_text(table))
    if args.plot:
        attacks.save_plot(table, args.plot)
        print(args.plot)


def speedrun(args: argparse.Namespace) -> None:
    """Make a model from nothing, have it judged, and say how long that took."""
    from minisora import speedrun as race

    found = race.run(args.preset, args.seed, args.out, args.device, args.prompts)
    print(race.as_text(found))
    print(f"{args.out}: weights, speedrun.json, speedrun.png and heldout.png")
