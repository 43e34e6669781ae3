"""Measuring prompting: the measures against known answers, and every row printed."""

import json
import re
from collections import Counter

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from minisora import cli, evaluate, tasks, world
from minisora.evaluate import object_mask
from minisora.tasks import Trial, batches, change, endless, kept, moved, steps


@pytest.fixture(scope="module")
def judge(trained):
    return evaluate.load_judge(trained)


# ---- measures ----


def test_steps_are_counted_in_medians():
    levels = np.array([[0, 10, 20, 60, 70], [0, 0, 0, 0, 3]], np.uint8)
    frames = np.broadcast_to(levels[:, :, None, None, None], (2, 5, 4, 6, 3))
    assert_close(steps(frames), torch.tensor([[1.0, 1, 4, 1], [0, 0, 0, 3]]))  # 1/255 at least


def test_half_a_decibel():
    x = np.full((3, 1, 16, 16, 3), 100, np.uint8)
    vae = x + np.uint8(20)
    made = x + np.array([20, 21, 22], np.uint8)[:, None, None, None, None]  # 0, 0.42 and 0.83 dB
    assert kept(made, x, vae).tolist() == [True, True, False]


def scenes(count, **options):
    return [world.sample_scene(i, "heldout", objects=1, **options) for i in range(count)]


def film(some):
    return np.stack([world.render(scene, 5).frames for scene in some])


def test_how_far_an_object_moved():
    some = scenes(8)
    x, masks = film(some), torch.stack([object_mask(scene, 5, 64, 64) for scene in some])
    assert moved(x, x, masks).max() == 0
    shifted = np.roll(x, (3, -5), (2, 3))
    assert_close(moved(x, shifted, masks).median().item(), np.hypot(3, 5) / 64, atol=0.01, rtol=0)
    changed = [change(scene)[1] for scene in some]
    assert (moved(x, film(changed), masks) <= 0.1).float().mean() > 0.8
    assert (moved(x, np.roll(x, 1, 0), masks) <= 0.1).float().mean() < 0.3


def test_what_is_changed_is_named_alone():
    kinds = Counter()
    for scene in scenes(40):
        kind, new, prompt = change(scene)
        kinds[kind] += 1
        old, other = scene.objects[0], new.objects[0]
        pairs = dict(ground=(scene.ground, new.ground), sky=(scene.sky, new.sky))
        pairs |= {name: (getattr(old, name), getattr(other, name)) for name in ("color", "shape")}
        assert [name for name, (a, b) in pairs.items() if a != b] == [kind]
        assert (other.motion, new.camera) == (old.motion, scene.camera)
        assert change(scene) == (kind, new, prompt) and len(prompt.split()) <= 4
        if kind in ("color", "shape"):
            assert re.fullmatch(rf"(a|an (?=orange)) ?{other.color} {other.shape}", prompt), prompt
    assert set(kinds.values()) == {10}


def test_what_can_go_on_for_ever():
    for objects in (1, 2):
        (some,) = batches(3, objects, endless)
        for scene in some:
            motions = {thing.motion for thing in scene.objects}
            assert motions <= {"still", "spins", "circles"} and len(scene.objects) == objects
            assert motions != {"still"} or "orbits" in scene.camera.motion
    assert [len(some) for some in batches(20, 1)] == [16, 4]


# ---- the rows ----


class Perfect:
    """Stands in for the filling of gaps: gives the true film, or what is wrong with it."""

    def __init__(self, spoil=lambda x: x):
        self.spoil = spoil

    def __call__(self, sora, frames, given, prompts, seed, **options):
        return self.spoil(sora.decode(sora.encode(frames)))


def test_what_the_vae_makes_of_the_film_reaches_every_ceiling(sora, judge, monkeypatch):
    trial, some = Trial(sora, judge), scenes(3)
    for make, reached in ((Perfect(), True), (Perfect(lambda x: x[:, ::-1] // 2), False)):
        monkeypatch.setattr(tasks, "fill_frames", make)
        for task in (tasks.animating, tasks.connecting):
            for name, (made, filmed) in task(trial, some).items():
                assert made.dtype == filmed.dtype == torch.bool and len(made) == 3
                if "dB" in name:
                    assert made.all() == reached
                elif reached:
                    assert torch.equal(made, filmed)


def test_every_row_is_measured_and_printed(sora, judge, monkeypatch, tmp_path, capsys, trained):
    monkeypatch.setattr(tasks, "SIZES", {"between": [(16, 32, 9)], "beyond": [(48, 32, 17)]})
    measure = tasks.measure
    monkeypatch.setattr(
        tasks, "measure", lambda *some: measure(*some, seconds=6, steps=1, guidance=1.0)
    )
    path = tmp_path / "figures.json"
    words = ["eval", "--clips", "1", "--tasks", "2", "--weights", trained, "--json", path]
    cli.main([*map(str, words)])
    out, found = capsys.readouterr().out, json.loads(path.read_text("utf-8"))
    assert found["tasks"] == 2 and found["model"] == sora.model
    for row in found["rows"].values():
        for share, low, high in row.values():
            assert 0 <= low <= share <= high <= 1
    for words in (
        *("animate: given", "animate: every", "text alone", "extend forward", "extend backward"),
        *("loop: ", "connect: both", "connect: no step", "edit: what", "edit: path", "one minute"),
        *("32x32, 17 frames (learnt)", "16x32, 9 frames (between)", "48x32, 17 frames (beyond)"),
    ):
        (line,) = [line for line in out.splitlines() if line.startswith(words)]
        assert len(re.findall(r"\d+\.\d \[\d+\.\d, \d+\.\d\]", line)) == 2
    assert found["rolling"]["speed"] > 0 and "s of video a second" in out and "MB for 6 s" in out


@pytest.mark.parametrize("words", [["--tasks", "-1"]])
def test_eval_refuses_before_the_work(weights, capsys, words):
    with pytest.raises(SystemExit) as stop:
        cli.main(["eval", "--weights", str(weights), *words])
    assert stop.value.code == 2 and "--tasks must be 0 or more" in capsys.readouterr().err
