"""Time to quality: from no weights at all to a judged score, in one run with a log.

Like the speedruns of nanoGPT (Jordan et al. 2024), but for video and on whatever machine is here:
the recipe is fixed, everything is made anew (clips filmed, VAE trained, latents, transformer
trained), and what counts is the time and what the shipped judge says of the result. Beside it
stands the machine's own speed, measured in the same run, so that two machines can be compared.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from minisora import evaluate, pictures, recipes, sora
from minisora.bench import REFERENCE, Watch, matmul
from minisora.device import fast_dtype, pick_device
from minisora.files import write_whole
from minisora.judge import PLACE, THING
from minisora.viz import Picture


@contextmanager
def empty_cache():
    """Put the cache into a new folder, so that nothing made before is used; forget it after."""
    before = os.environ.get("MINISORA_CACHE")
    with tempfile.TemporaryDirectory(prefix="minisora-") as folder:
        os.environ["MINISORA_CACHE"] = folder
        try:
            yield
        finally:
            os.environ.pop("MINISORA_CACHE")
            if before is not None:
                os.environ["MINISORA_CACHE"] = before


def run(preset: str, seed: int, out: Path, device: str, prompts: int) -> dict:
    """Make a model from nothing, score it, and write speedrun.json, speedrun.png and heldout.png.

    Args:
        preset: "speedrun", or "smoke" to see that it works.
        seed: of weights and draws.
        out: the folder for the weights and the log; it must be new or empty.
        device: see `pick_device`.
        prompts: held-out prompts of one object for the score; judging them is not timed.

    Returns:
        What was measured.

    Raises:
        ValueError: the folder holds something; fewer than 4 prompts; there is no judge.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists already and is not an empty folder; choose another")
    if prompts < 4:
        raise ValueError(f"a score needs at least 4 prompts, not {prompts}")
    chosen = pick_device(device)
    judge = evaluate.load_judge(None).to(chosen)
    peak = matmul(Watch(chosen), fast_dtype(chosen)).rate
    stages, began = {}, time.perf_counter()
    with empty_cache():
        for kind in ("vae", "dit"):
            recipes.run(kind, preset, seed, out, device, restart=False, stop=[])
            stages[kind] = (time.perf_counter() - began) / 60
        model = sora.load(out, device)
        exam = evaluate.examine(model, judge, prompts, objects=1)
    pictures.sheet(model, out / "heldout.png", count=12)
    rows = evaluate.shares(exam)
    cells = rows["every"]
    made, ceiling = (cells[column][0] for column in evaluate.COLUMNS[2:0:-1])
    found = {
        "minutes": stages["dit"],
        "minutes of the VAE": stages["vae"],
        "minutes at a peak of 150": stages["dit"] * peak / REFERENCE,
        "peak": peak,
        "hardware": recipes.hardware(chosen),
        "seed": seed,
        "prompts": prompts,
        "every attribute": cells,
        "generated": {name: row["generated"][0] for name, row in rows.items()},
        "share of the ceiling": made / max(ceiling, 1e-9),
    }
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    write_whole(out / "speedrun.json", lambda path: path.write_text(text, encoding="utf-8"))
    curves = {kind: recipes.read_curve(out / f"{kind}.csv") for kind in stages}
    write_whole(out / "speedrun.png", lambda path: draw(curves, stages).savefig(path, dpi=80))
    return found


def as_text(found: dict) -> str:
    """Say in a few lines what `run` found."""
    made, low, high = (100 * share for share in found["every attribute"]["generated"])
    minutes, vae = found["minutes"], found["minutes of the VAE"]
    parts = ", ".join(f"{n} {100 * found['generated'][n]:.0f}" for n in (*THING, *PLACE))
    scaled, ceiling = found["minutes at a peak of 150"], 100 * found["share of the ceiling"]
    return (
        f"{minutes:.1f} minutes from nothing, {vae:.1f} of them to the VAE\n"
        f"matrix products here: {found['peak']:.0f} GFLOP/s; {scaled:.1f} minutes if it were 150\n"
        f"{found['prompts']} held-out prompts of one object, every attribute right: {made:.1f}% "
        f"[{low:.1f}, {high:.1f}],\n"
        f"{ceiling:.0f}% of what filmed clips have through the same VAE\n"
        f"right in the generated ones, %: {parts}"
    )


def draw(curves: dict, stages: dict[str, float]) -> Picture:
    """Plot each model's score on unseen clips against the minutes since the very beginning.

    Args:
        curves: each model's records, see `recipes.read_curve`.
        stages: the minutes at which each model was ready.
    """
    figure = Picture(figsize=(7, 2.8), layout="constrained")
    for axes, (kind, records) in zip(figure.subplots(1, 2), curves.items(), strict=True):
        scored = [r for r in records if r.score is not None]
        before = stages[kind] - records[-1].seconds / 60  # filming and compressing
        axes.plot([before + r.seconds / 60 for r in scored], [r.score for r in scored], ".-")
        axes.set(xlim=(0, stages["dit"]), xlabel="minutes", title=f"{kind}: {recipes.SCORES[kind]}")
        axes.grid(alpha=0.3)
    return figure
