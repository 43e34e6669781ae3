"""Evaluation: intervals and distances against known values, and a table that adds up."""

import json
import re

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from minisora import cli, evaluate, recipes, world
from minisora.evaluate import Exam, as_text, frechet, nearest, object_mask, shares, wilson
from minisora.judge import PLACE, THING
from minisora.world.film import truth

ROWS = {*THING, *PLACE, "every", "number"}


# ---- statistics ----


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval(hits, n, low, high):
    """The examples of Newcombe 1998, Statistics in Medicine 17:857, table I."""
    share, *interval = wilson(torch.arange(n) < hits)
    assert share == pytest.approx(hits / n)
    assert interval == pytest.approx([low, high], abs=1e-4)
    mirror = wilson(torch.arange(n) >= hits)
    assert mirror == pytest.approx((1 - share, 1 - high, 1 - low), abs=1e-4)


def gaussian(mean, matrix, n=200):
    """Draws whose sample mean and covariance are exactly `mean` and matrix @ matrixᵀ."""
    x = torch.randn(n, len(mean), dtype=torch.float64)
    x = x - x.mean(0)
    x = torch.linalg.solve_triangular(torch.linalg.cholesky(x.T @ x / (n - 1)), x.T, upper=False)
    return x.T @ matrix.double().T + torch.as_tensor(mean)


def test_frechet_of_gaussians_in_closed_form():
    torch.manual_seed(0)
    spreads, mean = [torch.tensor([1.0, 2.0, 0.5]), torch.tensor([3.0, 0.1, 0.5])], [1.0, -2.0, 0.5]
    one, two = gaussian([0.0] * 3, spreads[0].diag()), gaussian(mean, spreads[1].diag(), 50)
    expected = sum(m * m for m in mean) + (spreads[0] - spreads[1]).square().sum().item()
    assert frechet(one, two) == pytest.approx(expected)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q  # it is the same turned
    assert frechet(one @ turn, two @ turn) == pytest.approx(expected)
    assert frechet(one, one) == pytest.approx(0, abs=1e-9)


def test_frechet_with_covariances_that_do_not_commute():
    torch.manual_seed(0)
    a, b = torch.randn(2, 4, 4, dtype=torch.float64)
    values = torch.linalg.eigvals(a @ a.T @ b @ b.T).real  # of the product, as the paper has it
    expected = (a.square().sum() + b.square().sum() - 2 * values.sqrt().sum()).item()
    assert frechet(gaussian([0.0] * 4, a), gaussian([0.0] * 4, b)) == pytest.approx(expected)
    assert frechet(torch.randn(5, 64), torch.randn(3, 64)) > 0  # fewer clips than features


def test_the_nearest_of_known_latents():
    known = torch.randn(7, 2, 3, 4, 4)
    z = known[[4, 2]].half()
    z[1] += 2.0
    assert_close(nearest(z, known), torch.tensor([0.0, 2.0]), atol=2e-2, rtol=0)


def test_the_mask_is_where_the_objects_are():
    scene = world.sample_scene(3, objects=2)
    mask = object_mask(scene, 5, 32, 48)
    assert mask.shape == (5, 32, 48) and mask.dtype == torch.bool
    seen = truth(scene, 5, 32, 48).visible.sum(1)
    np.testing.assert_allclose(mask.sum((1, 2)).numpy(), seen, rtol=0.1)
    column, row = truth(scene, 5, 32, 48).image[0, 0].astype(int)
    assert mask[0, row, column] or scene.objects[0].shape == "ring"


# ---- the table ----


def test_shuffled_is_the_generated_clips_against_other_scenes():
    from test_judge import perfect  # the tests' own folder is on the path

    scenes = [world.sample_scene(i, "heldout", objects=2) for i in range(4)]
    said = perfect(scenes)
    wrong = {name: logits.roll(1, 0) for name, logits in said.items()}  # each shows the one before
    exam = Exam(scenes, {"rendered": said, "through the VAE": said, "generated": wrong}, {}, {})
    rows = shares(exam)
    assert set(rows) == ROWS
    assert rows["every"]["rendered"][0] == 1 and rows["every"]["generated"][0] == 0
    back = Exam(
        scenes, {**exam.said, "generated": {n: v.roll(-1, 0) for n, v in said.items()}}, {}, {}
    )
    assert shares(back)["every"]["shuffled"][0] == 1


def test_eval_prints_the_table_and_writes_it(trained, tmp_path, capsys):
    path = tmp_path / "new" / "figures.json"
    words = ["eval", "--clips", "2", "--prompts", "5", "--json", path, "--weights", trained]
    cli.main([*map(str, words)])
    out, found = capsys.readouterr().out, json.loads(path.read_text("utf-8"))
    assert re.search(r"2 held-out clips: mean PSNR \d+\.\d\d dB .*; objects \d+\.\d\d dB", out)
    assert found["prompts"] == 5 and found["clips"] == 2 and found["psnr"] > found["psnr_objects"]
    for objects in "12":
        rows = found["shares"][objects]
        assert set(rows) == ROWS
        for cells in rows.values():
            assert list(cells) == list(evaluate.COLUMNS)
            assert all(0 <= low <= share <= high <= 1 for share, low, high in cells.values())
        for column in evaluate.COLUMNS:
            least = min(rows[name][column][0] for name in [*THING, *PLACE])
            assert rows["every"][column][0] <= least
    assert 0 <= found["nearer"] <= 1 and all(d > 0 for d in found["nearest"].values())
    assert all(d > 0 for d in found["frechet"].values())
    lines = out.splitlines()
    table = lines[lines.index("") + 1 :][1:11]
    assert len({len(line) for line in table}) == 1 and table[0].split()[0] == "rendered"
    assert "generated / through the VAE" in out and "Fréchet" in out and "nearest" in out


def test_the_text_says_what_the_figures_say():
    cells = {column: (0.5 + i / 10, 0.4, 0.9) for i, column in enumerate(evaluate.COLUMNS)}
    found = {
        "prompts": 7,
        "shares": {1: {"color": cells, "every": cells}},
        "frechet": {"through the VAE": 0.25, "generated": 4.5},
        "nearest": {"rendered": 0.75, "generated": 0.5},
        "nearer": 0.125,
    }
    text = as_text(found)
    assert "colour" in text and "60.0 [40.0, 90.0]" in text and "7 held-out" in text
    assert "through the VAE: 1.17" in text  # 0.7 / 0.6
    assert "generated 4.50, other filmed clips 0.25" in text
    assert "generated 0.500, held-out filmed 0.750" in text and "12.5%" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--prompts", "3"], "0 or at least 4"), (["--prompts", "-1"], "0 or at least 4"),
     (["--clips", "0"], "--clips"), (["--json", "."], "it is a folder")],
)  # fmt: skip
def test_eval_refuses_before_the_work(trained, capsys, monkeypatch, words, told):
    monkeypatch.setattr(evaluate, "compress_held_out", None)
    with pytest.raises(SystemExit) as stop:
        cli.main(["eval", "--weights", str(trained), *words])
    assert stop.value.code == 2 and told in capsys.readouterr().err


def test_a_folder_without_a_judge_is_scored_by_the_shipped_one(trained, tmp_path, refuses):
    assert evaluate.load_judge(trained).config == recipes.PRESETS["judge"]["smoke"].config
    evaluate.SHIPPED, shipped = trained, evaluate.SHIPPED
    try:
        for folder in (None, tmp_path):
            assert evaluate.load_judge(folder).config.width == 48
        evaluate.SHIPPED = tmp_path
        with refuses("minisora train judge", str(tmp_path)):
            evaluate.load_judge(None)
    finally:
        evaluate.SHIPPED = shipped


def test_the_card_of_the_judge_says_what_its_score_is(trained):
    card = json.loads((trained / "judge.json").read_text("utf-8"))
    assert card["command"] == "minisora train judge --preset smoke --seed 0"
    assert 0 <= card["score on unseen clips"] <= 1 and "every attribute" in card["score is"]
