"""The experiments: what web captions say, what a table of runs says, one tiny run."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from minisora import world
from minisora.data import Size

sys.path.append(str(Path(__file__).parents[1] / "experiments"))
import framing  # noqa: E402
import recaption  # noqa: E402
import wording  # noqa: E402


def test_web_captions_are_short_and_often_wrong():
    rng = random.Random(0)
    scenes = [world.sample_scene(seed, "train", objects=1) for seed in range(150)]
    found = recaption.fidelity([recaption.web_caption(s, rng) for s in scenes], scenes)
    assert all(0.4 < found[name] < 0.75 for name in ("shape", "color", "motion"))
    assert all(found[name] < 0.4 for name in ("size", "camera", "ground", "sky"))
    true = recaption.fidelity([scene.caption for scene in scenes], scenes)
    assert set(true.values()) == {1.0}


def test_the_gain_has_an_interval_over_seeds():
    more, reach = recaption.gain([0.6, 0.62, 0.58], [0.3, 0.32, 0.28])
    assert more == pytest.approx(0.3) and reach == pytest.approx(2.776 * 0.02 * (2 / 3) ** 0.5)


def test_a_tiny_run_adds_its_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recaption, "CLIPS", Size(16, height=32, width=32))
    table = tmp_path / "table.csv"
    for kind in ("web", "recaptioned"):
        words = [kind, "0", "--steps", "3", "--prompts", "2", "--out", str(table)]
        recaption.main(words)
    found = recaption.read(table)
    assert {*found["full", "all that is named"]} == {"web", "recaptioned"}
    capsys.readouterr()
    recaption.main(["--table", "--out", str(table)])
    assert "recaptioned − web" in capsys.readouterr().out


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(SystemExit, match="2"):
        recaption.main(["--table", "--out", str(tmp_path / "none.csv")])


def test_square_crops_cut_off_more(capsys):
    framing.main(["--table", "--prompts", "12", "--out", "none.csv"])
    native, square = capsys.readouterr().out.splitlines()
    shares = [float(line.split("%")[0].split()[-1]) for line in (native, square)]
    assert shares[0] + 15 < shares[1]


def test_a_tiny_run_counts_all_sizes(tmp_path, capsys):
    table = tmp_path / "framing.csv"
    for kind in ("native", "square"):
        words = [kind, "0", "--steps", "2", "--prompts", "2", "--clips", "8", "--out", str(table)]
        framing.main(words)
    framing.main(["--table", "--prompts", "2", "--out", str(table)])
    assert "square model, 80x48" in capsys.readouterr().out


def test_other_peoples_wording_is_held_against_canonical_captions(capsys):
    found, impossible = wording.pairs()
    assert len(found) + impossible == 300 and impossible < 30
    assert 0.7 < sum(kept for *_, kept in found) / len(found) < 1
    say = wording.plainly("red, cube + small, sphere, circles", "snow, camera rises")
    assert say == "a small sphere circles the red cube and a red cube  on snow, the camera rises"
    wording.main(["--count", "2"])
    told = capsys.readouterr().out
    assert "canonical: every attribute right" in told and told.count("of what was read") == 2
