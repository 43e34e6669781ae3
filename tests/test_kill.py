"""A training killed at any moment (SIGKILL) goes on to the very weights of an unbroken one.

pytest kills three times. As many as you like, half of the time while a file is being written:

    python tests/test_kill.py 50
"""

import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tqdm import tqdm

from minisora import presets, recipes, train
from minisora.checkpoints import load_progress
from minisora.files import UNFINISHED


def training(kind, cache, out):
    """Train in a process of its own, saving every other step, with weights in full precision."""
    os.environ["MINISORA_CACHE"] = str(cache)
    with open(os.devnull, "w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        tqdm.set_lock(threading.RLock())  # its own one would leak a semaphore at every kill
        smoke = presets.PRESETS[kind]["smoke"]
        presets.PRESETS[kind]["smoke"] = replace(smoke, steps=16, check_every=2)
        train.loop = partial(train.loop, save_every=2)
        recipes.save_model = partial(recipes.save_model, half=False)
        assert recipes.run(kind, "smoke", 0, out, "cpu", False, [])


def start(*arguments):
    """Start a training; a server that has imported everything forks it, so it takes no time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["minisora.recipes", "minisora.viz", "torch._dynamo"])
    process = context.Process(target=training, args=arguments)
    process.start()
    return process


def result(out, kind):
    """The fingerprint of the weights and the losses on the way to them."""
    losses = [(r.step, r.loss, r.score) for r in recipes.read_curve(out / f"{kind}.csv")]
    return json.loads((out / f"{kind}.json").read_text("utf-8"))["model"], losses


def kill_one(process, folders, seconds, in_a_write):
    """Kill it after a while, or when a file is then being written; 1 if one was left unfinished."""

    def unfinished():
        return [path for folder in folders for path in folder.glob(f"{UNFINISHED}*")]

    process.join(seconds)
    while in_a_write and process.is_alive() and not unfinished():
        time.sleep(1e-4)
    process.kill()
    process.join()
    left = unfinished()
    for path in left:  # so that the next kill does not see it
        shutil.rmtree(path)
    return min(1, len(left))


def kill_many(kind, kills, folder, rng):
    """Break trainings until so many kills are done; return how often a write was torn."""
    cache = folder / "cache"

    def fresh(name):
        out = folder / f"{kind}-{name}"
        out.mkdir(exist_ok=True)
        if kind != "vae":
            shutil.copy(folder / "vae-first" / "vae.safetensors", out)
        return out

    for name in ("first", "second"):  # the first one films the clips too
        began = time.perf_counter()
        process = start(kind, cache, fresh(name))
        process.join()
        assert process.exitcode == 0
    seconds, expected = time.perf_counter() - began, result(fresh("first"), kind)
    assert result(fresh("second"), kind) == expected
    done = torn = finished = 0
    process = None
    while done < kills or process.exitcode:  # the last one may end
        out = fresh(f"broken-{finished}")
        began = time.perf_counter()
        process = start(kind, cache, out)
        if done < kills:
            moment = rng.uniform(0, seconds)
            torn += kill_one(process, (cache / "runs", out), moment, in_a_write=done % 2)
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        for progress in (cache / "runs").glob("*.pt"):
            assert load_progress(progress)["step"] % 2 == 0  # whole
        done += process.exitcode != 0
        if process.exitcode == 0:
            assert result(out, kind) == expected
            assert not os.listdir(cache / "runs")
            finished += 1
            seconds = min(seconds, time.perf_counter() - began)
    return torn, finished


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_killed_training_ends_at_the_same_weights(tmp_path):
    torn, finished = kill_many("vae", 3, tmp_path, random.Random(0))
    assert finished


if __name__ == "__main__":
    count = int(sys.argv[1])
    began, rng = time.time(), random.Random(time.time_ns())
    with tempfile.TemporaryDirectory() as name:
        for kind, kills in (("vae", count - count // 2), ("dit", count // 2)):
            torn, finished = kill_many(kind, kills, Path(name), rng)
            print(f"{kind}: {kills} kills, {torn} in the middle of a write; {finished} trainings")
    print(f"all ended at the weights of an unbroken one; {time.time() - began:.0f} s")
