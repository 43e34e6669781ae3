"""The bench: what is counted, the medians and the shares. Speed itself is never asserted."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from minisora import bench
from minisora.bench import Row, Watch, gflop
from minisora.cli import main
from minisora.dit import DiTConfig
from minisora.presets import PRESETS

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """Let each piece of work take as long as the next of these seconds."""

    def set_to(*seconds):
        ticks = (tick for s in seconds for tick in (0.0, s))
        monkeypatch.setattr(bench, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))

    return set_to


# ---- arithmetic


def test_a_linear_layer_is_counted_as_by_hand():
    layer, x = nn.Linear(5, 7), torch.randn(3, 5)
    forward = 2 * 3 * 5 * 7 / 1e9  # a multiplication and an addition for each of 3x5x7
    assert gflop(lambda: layer(x)) == pytest.approx(forward)
    assert gflop(lambda: layer(x).sum().backward()) == pytest.approx(2 * forward)  # no ∂x
    x.requires_grad_()
    assert gflop(lambda: layer(x).sum().backward()) == pytest.approx(3 * forward)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_counted_as_by_hand(masked):
    q, k, v = (torch.randn(2, 3, n, 8, requires_grad=True) for n in (10, 14, 14))
    mask = torch.ones(2, 1, 1, 14, dtype=torch.bool) if masked else None
    forward = 2 * (2 * 2 * 3 * 10 * 14 * 8) / 1e9  # QKᵀ, then the weights times V

    def attend():
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    assert gflop(attend) == pytest.approx(forward)
    assert gflop(lambda: attend().sum().backward()) == pytest.approx(3 * forward)


def test_a_convolution_is_counted_as_by_hand():
    layer, x = nn.Conv2d(4, 6, 3, padding=1), torch.randn(2, 4, 5, 7)
    assert gflop(lambda: layer(x)) == pytest.approx(2 * 2 * 6 * 5 * 7 * 4 * 9 / 1e9)


def test_a_blocks_arithmetic_is_in_the_models():
    """One block more costs its linear layers on n patches and m words, and its attention."""
    rows, (b, n, m, d) = [], (2, 5 * 32, len(bench.tokenize(bench.PROMPT)), 64)
    z, tau = torch.randn(b, 16, 5, 8, 8), torch.ones(b, 5)
    tokens = bench.batch_tokens([bench.tokenize(bench.PROMPT)] * b)
    for depth in (1, 2):
        dit = bench.awake("dit", DiTConfig(width=d, depth=depth, heads=4), CPU)
        rows.append(gflop(lambda dit=dit: dit(z, tau, tokens)))
    layers, words = 12 * d * d * n, 2 * d * d * m  # qkv 3, out 1, MLP 8; the words' keys, values
    assert rows[1] - rows[0] == pytest.approx(2 * b * (layers + words + 2 * n * (n + m) * d) / 1e9)


# ---- medians, shares, powers


def test_the_median_leaves_out_the_first_time_and_shrugs_off_a_slow_one(clock):
    done = []
    clock(50.0, 2.0, 9.0, 1.0)
    assert Watch(CPU, times=3).seconds(lambda: done.append(1)) == 2.0
    assert len(done) == 4


def test_shares_are_of_the_peak():
    row = Row("part", "work", seconds=2.0, gflop=120.0, peak=75.0)
    found = row.figures()
    assert (found["rate"], found["share"], found["scaled"]) == (60.0, 0.8, 1.0)
    assert found["seconds"] == 2.0 and found["megabytes"] is None
    bare = Row("part", "work", megabytes=5.0).figures()
    assert bare["rate"] is bare["share"] is bare["scaled"] is None


def test_the_peak_is_the_fastest_product_and_a_slow_precision_ends_early(clock):
    clock(*[0.01] * 4, *[0.02] * 4, *[1.0] * 4, *[1000.0] * 4)  # 256, 512, 1024, 2048
    row = bench.matmul(Watch(CPU, times=3), torch.float32)
    assert row.name == "float32, 512x512" and row.rate == pytest.approx(2 * 512**3 / 0.02 / 1e9)


def test_a_power_is_the_slope_between_logarithms():
    assert bench.power((2, 5), (8, 80)) == pytest.approx(2)
    assert bench.power((3, 1), (6, math.sqrt(2))) == pytest.approx(0.5)


def test_a_line_of_the_table():
    row = Row("part", "work", seconds=0.01234, gflop=1234.5, peak=150.0, power=1.0)
    assert bench.as_text(row).split() == "work 0.0123 0.0123 1,234 100,041 667 1".split()
    assert bench.as_text(Row("part", "work", megabytes=512.0)).split() == ["work", "512"]


# ---- the models


@pytest.mark.parametrize("kind", ["vae", "dit"])
def test_no_gradient_is_zero_and_no_number_denormal(kind):
    """Zeros and denormals take another time than other numbers."""
    preset = replace(PRESETS[kind]["smoke"], batch=2)
    model = bench.awake(kind, preset.config, CPU)
    bench.batch_loss(model, preset, CPU)(0).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.any(), name
        size = p.grad.abs()
        assert not ((size > 0) & (size < torch.finfo(torch.float32).tiny)).any(), name


@pytest.mark.parametrize("what", ["sampling", "dit"])
def test_memory_is_that_of_a_process_with_torch(what):
    assert 50 < bench.rehearse(what, "smoke", "cpu") < 100_000


def test_the_command_prints_and_writes_every_figure(tmp_path, capsys):
    main(["bench", "--quick", "--preset", "smoke", "--json", str(tmp_path / "speed.json")])
    printed, told = capsys.readouterr()
    assert told == ""
    found = json.loads((tmp_path / "speed.json").read_text(), parse_constant=pytest.fail)
    rows = {(row["part"], row["name"].split(",")[0]): row for row in found["rows"]}
    assert all(row["part"] in printed and row["name"] in printed for row in found["rows"])
    assert all(row["seconds"] > 0 for row in found["rows"])
    for kind in ("dit, batch 4", "vae, batch 4"):
        both, muon, step = (
            rows[f"training the {kind}", name]
            for name in ("forward and backward", "Muon", "whole step")
        )
        assert step["gflop"] == both["gflop"] > muon["gflop"] > 0
        for row in (both, muon, step):
            assert row["share"] == pytest.approx(row["gflop"] / row["seconds"] / row["peak"])
    grown = [row for row in found["rows"] if row["part"].startswith("one pass by")]
    assert [row["power"] is None for row in grown] == [True, False] * 3


def test_a_folder_is_no_file_for_the_figures(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["bench", "--json", str(tmp_path)])
    assert stop.value.code == 2 and "it is a folder" in capsys.readouterr().err
