"""From nothing to weights with their card: what `minisora train` does around the loops."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import torch
from tqdm import tqdm

from minisora import __version__
from minisora.captioner import Captioner, train_captioner
from minisora.checkpoints import cache_folder, fingerprint, load_model, save_model, write_whole
from minisora.data import world_version
from minisora.device import fast_dtype, pick_device
from minisora.dit import DiT
from minisora.judge import Judge, train_judge
from minisora.presets import PRESETS
from minisora.train import Record, train_vae
from minisora.train_dit import train_dit
from minisora.vae import VAE

LOOPS = {"vae": (VAE, train_vae), "dit": (DiT, train_dit), "judge": (Judge, train_judge)}
LOOPS["captioner"] = Captioner, train_captioner
SCORES = {
    "vae": "mean PSNR in dB",
    "dit": "velocity loss, full captions",
    "judge": "share with every attribute right, one object",
    "captioner": "share of captions right to the word, one object",
}


def run(kind: str, preset: str, seed: int, out: Path, device: str, restart: bool, stop) -> bool:
    """Train a model and put its weights, card and curve into a folder.

    Args:
        kind: "vae", "dit", "judge" or "captioner"; all others need the first's weights in `out`.
        preset: "smoke", "cpu" or "gpu"; "polish" and "finish" go on from what is in `out`.
        seed: of weights and draws.
        out: the folder, made if missing.
        device: see `pick_device`.
        restart: forget what an interrupted or finished run has left.
        stop: as soon as it holds something, the run saves its progress and stops.

    Returns:
        Whether the training is complete.
    """
    if preset not in PRESETS[kind]:
        raise ValueError(f"no preset {preset!r} for the {kind}, only {', '.join(PRESETS[kind])}")
    recipe, chosen = PRESETS[kind][preset], pick_device(device)
    arguments, models = [], ""
    if kind != "vae" and not (out / "vae.safetensors").is_file():
        how = f"minisora train vae --preset {preset} --out {out}"
        raise ValueError(f"there is no VAE in {out}; train the VAE first: {how}")
    # better told now than after the training
    if out.exists() and not (out.is_dir() and os.access(out, os.W_OK)):
        raise ValueError(f"cannot write weights into {out}: it is a file or closed to writing")
    out.mkdir(parents=True, exist_ok=True)
    if kind != "vae":
        vae = load_model(out / "vae.safetensors", "vae").to(chosen)
        arguments, models = [vae], fingerprint(vae)
    progress = cache_folder() / "runs" / f"{kind}-{preset}-{seed}{models and '-'}{models}.pt"
    weights, origin = out / f"{kind}.safetensors", origin_of(kind, preset, seed, models)
    if restart:
        progress.unlink(missing_ok=True)
    elif not progress.is_file() and finished(weights, origin):
        print("already finished; --restart trains again")
        return True
    torch.manual_seed(seed)
    model_class, teach = LOOPS[kind]
    earlier, origin = before(weights, origin) if recipe.onward else ([], origin)
    model = load_model(weights, kind).requires_grad_() if earlier else model_class(recipe.config)
    model = model.to(chosen)
    loop = teach(model, *arguments, recipe, seed, progress)
    records = watch(loop, recipe.steps, progress, stop)
    if not records:
        raise ValueError(f"{progress} is finished but its curve is gone; --restart begins again")
    if stop and records[-1].step < recipe.steps:
        return False
    save_model(weights, model)
    save_card(weights, origin, chosen, [*earlier, *(onward(r, earlier) for r in records)])
    progress.unlink(missing_ok=True)
    progress.with_suffix(".csv").unlink(missing_ok=True)
    return True


def origin_of(kind: str, preset: str, seed: int, models: str) -> dict[str, str]:
    """Return what of a card tells one training from another, before it has begun."""
    recipe = repr((PRESETS[kind][preset], models, world_version()))
    return {
        "command": f"minisora train {kind} --preset {preset} --seed {seed}",
        "version": __version__,
        "recipe": hashlib.sha256(recipe.encode()).hexdigest()[:12],
    }


def before(weights: Path, origin: dict[str, str]) -> tuple[list[Record], dict[str, str]]:
    """Return the curve of finished weights, and what the card tells of them and of what follows.

    Raises:
        ValueError: there are none to go on from.
    """
    try:
        card = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
        return read_curve(weights.with_suffix(".csv")), {**origin, "after": card["command"]}
    except (OSError, ValueError, KeyError):
        how = f"finish a training first: minisora train {weights.stem} --out {weights.parent}"
        raise ValueError(f"no finished {weights.stem} in {weights.parent}; {how}") from None


def onward(record: Record, earlier: list[Record]) -> Record:
    """Return a record as part of a curve that begins with an earlier training's."""
    if not earlier:
        return record
    step, seconds = earlier[-1].step, earlier[-1].seconds
    steps = dict(step=step + record.step, steps=step + record.steps)
    return replace(record, **steps, seconds=seconds + record.seconds)


def finished(weights: Path, origin: dict[str, str]) -> bool:
    """Return whether the weights are there, as the training of this origin made them."""
    try:
        card = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
        same = card["model"] == fingerprint(load_model(weights, weights.stem))
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return same and origin.items() <= card.items()


def watch(loop, steps: int, progress: Path, stop: list) -> list[Record]:
    """Run a loop under a progress bar and keep its records beside its progress file."""
    log = progress.with_suffix(".csv")
    records = read_curve(log) if progress.is_file() and log.is_file() else []
    first = list(islice(loop, 1))  # the clips are filmed before it, under a bar of their own
    begun = first[0].step - 1 if first else steps
    with tqdm(total=steps, initial=begun, unit="step", smoothing=0.05) as bar:
        for record in chain(first, loop):
            while records and records[-1].step >= record.step:  # the run died after noting them
                records.pop()
            records.append(record)
            scored = next((r.score for r in reversed(records) if r.score is not None), None)
            shown = f"loss {record.loss:.3f}" + ("" if scored is None else f", unseen {scored:.3f}")
            bar.set_postfix_str(shown, refresh=False)
            bar.update()
            if record.score is not None or record.step % 100 == 0 or stop:
                save_curve(log, records)  # no later than the loop saves its progress
            if stop and record.step < steps:
                loop.close()
                break
    return records


def save_curve(path: Path, records: list[Record]) -> None:
    """Write records as CSV: step, seconds, loss and, where measured, score."""

    def write(temporary: Path) -> None:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["step", "steps", "loss", "seconds", "score"])
            for r in records:
                score = "" if r.score is None else f"{r.score:.4f}"
                rows.writerow([r.step, r.steps, f"{r.loss:.4f}", f"{r.seconds:.1f}", score])

    write_whole(path, write)


def read_curve(path: Path) -> list[Record]:
    """Read what `save_curve` wrote."""
    with open(path, newline="", encoding="utf-8") as file:
        return [
            Record(int(r["step"]), int(r["steps"]), float(r["loss"]), float(r["seconds"]),
                   float(r["score"]) if r["score"] else None)
            for r in csv.DictReader(file)
        ]  # fmt: skip


def save_card(weights: Path, origin: dict[str, str], device, records: list[Record]) -> None:
    """Write what made the weights: curve, command, seed, hardware, minutes, steps and score."""
    from minisora.viz import loss_curve  # drawing is the recipe's last step only

    save_curve(weights.with_suffix(".csv"), records)
    figure = loss_curve([r.step for r in records], [r.loss for r in records])
    write_whole(weights.with_suffix(".png"), lambda p: figure.savefig(p, dpi=80))
    model = load_model(weights, weights.stem)
    card = {
        **origin,
        "model": fingerprint(model),
        "parameters": sum(p.numel() for p in model.parameters()),
        "hardware": hardware(device),
        "steps": records[-1].steps,
        "minutes": round(records[-1].seconds / 60, 1),
        "score on unseen clips": round(records[-1].score, 4),
        "score is": SCORES[weights.stem],
    }
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    write_whole(weights.with_suffix(".json"), lambda p: p.write_text(text, encoding="utf-8"))


def hardware(device: torch.device) -> str:
    """Say in a line what computes here."""
    precision = str(fast_dtype(device)).removeprefix("torch.")
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {precision}"
    threads, cores = torch.get_num_threads(), os.cpu_count()
    return f"{threads} threads of {platform.machine()} ({cores} cores), {precision}"
