"""The speedrun: everything made anew, timed, judged, and written down."""

import json

import pytest

from minisora import cli, data, recipes, speedrun
from minisora.checkpoints import cache_folder, load_model


@pytest.fixture
def judged(weights, monkeypatch, tmp_path):
    """The judge of the smoke preset in the shipped one's place."""
    recipes.run("judge", "smoke", 0, weights, "cpu", False, [])
    judge = load_model(weights / "judge.safetensors", "judge")
    monkeypatch.setattr("minisora.evaluate.load_judge", lambda _: judge)


def test_from_nothing_to_a_score(judged, tmp_path, monkeypatch, capsys):
    filmed, before = [], cache_folder()
    film = data.film
    monkeypatch.setattr(data, "film", lambda *a, **k: filmed.append(a) or film(*a, **k))
    cli.main(["speedrun", "--preset", "smoke", "--prompts", "4", "--out", str(tmp_path / "run")])
    told = capsys.readouterr().out
    assert "minutes from nothing" in told and "4 held-out prompts" in told
    assert "%: shape " in told and ", camera " in told  # what is wrong where not all is right
    assert len(filmed) > 4 and cache_folder() == before  # nothing came from an earlier run
    found = json.loads((tmp_path / "run" / "speedrun.json").read_text())
    assert 0 < found["minutes of the VAE"] < found["minutes"]
    assert found["minutes at a peak of 150"] == pytest.approx(
        found["minutes"] * found["peak"] / 150
    )
    assert 0 <= found["share of the ceiling"] and found["prompts"] == 4
    made = {path.name for path in (tmp_path / "run").iterdir()}
    assert made >= {"vae.safetensors", "dit.safetensors", "speedrun.json"}
    assert made >= {"speedrun.png", "heldout.png"}


def test_what_does_not_fit_is_told(judged, tmp_path, refuses):
    with refuses("at least 4", "3"):
        speedrun.run("smoke", 0, tmp_path / "run", "cpu", 3)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a").touch()
    with refuses("old", "not an empty folder"):
        speedrun.run("smoke", 0, tmp_path / "old", "cpu", 4)
