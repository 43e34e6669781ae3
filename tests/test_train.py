"""Training: exact to resume, fair in its draws, and it learns."""

import random
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from minisora import train
from minisora.checkpoints import load_model, load_progress
from minisora.dit import DiT
from minisora.muon import Muon
from minisora.presets import PRESETS
from minisora.train import Average, Record, loop, optimizers, schedule
from minisora.train_dit import train_dit
from minisora.vae import VAE


def begin(kind, weights, progress=None):
    """A new model and the loop that trains it with the smoke preset."""
    preset = PRESETS[kind]["smoke"]
    torch.manual_seed(0)
    if kind == "vae":
        model = VAE(preset.config)
        return model, train.train_vae(model, preset, 0, progress)
    model, vae = DiT(preset.config), load_model(weights / "vae.safetensors", "vae")
    return model, train_dit(model, vae, preset, 0, progress)


@pytest.fixture(scope="module", params=["vae", "dit"])
def unbroken(request, weights):
    """A kind, its model after an unbroken training, and the records."""
    model, steps = begin(request.param, weights)
    return request.param, model, list(steps)


def same_weights(one, two) -> bool:
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    return all(torch.equal(p, q) for p, q in pairs)


# ---- resuming ----


def test_a_stopped_and_resumed_training_ends_at_the_same_weights(unbroken, weights, tmp_path):
    kind, model, records = unbroken
    progress = tmp_path / "runs" / "a.pt"
    _, steps = begin(kind, weights, progress)
    first = [next(steps) for _ in range(7)]
    assert not progress.exists()
    steps.close()
    assert load_progress(progress)["step"] == 7
    resumed, steps = begin(kind, weights, progress)
    torch.manual_seed(99)  # nothing may depend on it
    random.seed(99)
    rest = list(steps)
    told = [(r.step, r.steps, r.loss, r.score) for r in first + rest]
    assert told == [(r.step, r.steps, r.loss, r.score) for r in records]
    assert rest[-1].seconds > first[-1].seconds > 0
    assert same_weights(resumed, model)

    finished, steps = begin(kind, weights, progress)  # nothing is left to do
    assert list(steps) == [] and same_weights(finished, model) and not finished.training


def test_progress_of_another_recipe_is_refused(tmp_path, refuses):
    preset, progress = PRESETS["vae"]["smoke"], tmp_path / "a.pt"
    steps = train.train_vae(VAE(preset.config), preset, 0, progress)
    next(steps)
    steps.close()
    for other in (replace(preset, steps=30), replace(preset, adam_lr=1e-3)):
        with refuses(str(progress), "another recipe", "delete it"):
            next(train.train_vae(VAE(preset.config), other, 0, progress))
    torch.save(dict(load_progress(progress), model={}), progress)
    with refuses(str(progress), "another recipe"):
        next(train.train_vae(VAE(preset.config), preset, 0, progress))


def toy(progress, dies_at=None, save_every=5, breaks_at=None, broken=""):
    """A regression whose data depend on the step alone."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))

    def loss_of(step):
        if step == dies_at:
            raise MemoryError
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        error = (model(x) - x[:, :2]).square().mean()
        if step != breaks_at:
            return error
        return error * torch.nan if broken == "loss" else (error * 0).sqrt()  # 0, but its slope!

    preset = replace(PRESETS["vae"]["smoke"], steps=23)
    return model, loop(model, preset, loss_of, lambda: 0.0, progress, save_every)


def test_a_crash_costs_only_the_steps_since_the_last_save(tmp_path):
    """Progress is never ahead of the records, so that a curve kept beside it has no hole."""
    progress = tmp_path / "a.pt"
    model, steps = toy(None)
    losses = [record.loss for record in steps]
    with pytest.raises(MemoryError):
        for record in toy(progress, dies_at=13)[1]:
            saved = load_progress(progress)
            assert (saved["step"] if saved else 0) == (record.step - 1) // 5 * 5
    assert load_progress(progress)["step"] == 10
    resumed, steps = toy(progress)
    assert [record.loss for record in steps] == losses[10:]
    assert same_weights(resumed, model)
    assert load_progress(progress)["step"] == 23


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_a_diverged_training_stops_and_keeps_what_was_good(tmp_path, broken):
    progress = tmp_path / "a.pt"
    with pytest.raises(ArithmeticError, match="diverged at step 14 .*progress .* kept") as caught:
        steps = [0]
        steps.extend(record.step for record in toy(progress, breaks_at=13, broken=broken)[1])
    assert "\n" not in str(caught.value)
    good = load_progress(progress)
    assert good["step"] == 10 and all(p.isfinite().all() for p in good["model"].values())


def test_the_caller_may_stop_with_break(tmp_path):
    for record in toy(tmp_path / "a.pt")[1]:
        if record.step == 3:
            break
    assert load_progress(tmp_path / "a.pt")["step"] == 3


# ---- learning ----


def test_the_loss_falls_and_unseen_clips_are_scored(unbroken):
    kind, model, records = unbroken
    losses = [record.loss for record in records]
    assert [record.step for record in records] == list(range(1, 21))
    assert sum(losses[-5:]) / 5 < sum(losses[:3]) / 3 - 0.3
    assert [r.step for r in records if r.score is not None] == [10, 20]
    first, last = records[9].score, records[19].score
    assert last > first if kind == "vae" else last < losses[0] - 0.1
    assert not model.training


def test_the_latents_of_a_trained_vae_are_standardised(weights):
    vae = load_model(weights / "vae.safetensors", "vae")
    clips = train.pixels(PRESETS["vae"]["smoke"].sizes[0])
    z = vae.encode(train.frames_to_tensor(clips))
    assert_close(z.mean((0, 2, 3, 4)), torch.zeros(16), atol=0.05, rtol=0)
    assert_close(z.std(), torch.tensor(1.0), atol=0.05, rtol=0)
    assert z.std((0, 2, 3, 4)).std() > 0.02  # one scale for all: channels keep their loudness


def test_records_tell_the_time_left():
    record = Record(step=5, steps=20, loss=1.0, seconds=2.0)
    assert record.rate == 2.5 and record.seconds_left == 6.0


# ---- optimisers, schedule, average ----


@pytest.mark.parametrize("kind", ["vae", "dit"])
def test_every_parameter_has_one_optimizer_and_blocks_matrices_have_muon(kind):
    preset = PRESETS[kind]["cpu"]
    with torch.device("meta"):
        model = {"vae": VAE, "dit": DiT}[kind](preset.config)
    opts = optimizers(model, preset)
    assert isinstance(opts[0], Muon) and isinstance(opts[1], torch.optim.AdamW)
    held = [id(p) for opt in opts for group in opt.param_groups for p in group["params"]]
    assert len(held) == len(set(held)) and set(held) == {id(p) for p in model.parameters()}
    muon = {id(p) for p in opts[0].param_groups[0]["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in muon}
    for name, p in model.named_parameters():
        if any(part in name for part in ("blocks.", "fine.", "coarse.")):
            assert (name in names) == (p.ndim == 2 and "table" not in name), name
    outside = {
        "vae": ("encoder.stem", "encoder.head", "decoder.stem", "decoder.head"),
        "dit": ("text.words", "text.places", "embed", "steer", "last", "head"),
    }
    for part in outside[kind]:
        assert f"{part}.weight" in dict(model.named_parameters())
        assert f"{part}.weight" not in names


def test_the_learning_rate_rises_stays_and_falls_to_nothing():
    preset = replace(PRESETS["dit"]["smoke"], steps=1000, warmup=50, cooldown=0.6)
    shares = [schedule(step, preset) for step in range(1000)]
    assert shares[0] == 1 / 50 and shares[24] == 0.5
    assert set(shares[49:401]) == {1.0}
    falling = torch.tensor(shares[400:])
    assert_close(falling.diff(), torch.full((599,), -1 / 600), atol=1e-6, rtol=0)
    assert shares[-1] == pytest.approx(1 / 600)
    assert schedule(999, replace(preset, cooldown=0.0)) == 1.0


@pytest.mark.parametrize("preset", [p for kind in PRESETS.values() for p in kind.values()])
def test_every_presets_learning_rate_reaches_the_top_and_lands(preset):
    shares = [schedule(step, preset) for step in range(preset.steps)]
    assert 0.95 < max(shares) <= 1 and min(shares) > 0 and shares[-1] < 0.1
    assert preset.steps % preset.check_every == 0


def test_swapping_the_average_twice_changes_nothing():
    torch.manual_seed(0)
    model = nn.Linear(3, 4)
    average = Average(model)
    with torch.no_grad():
        model.weight += 1 / 3
    mine, mean = model.weight.clone(), average.weights["weight"].clone()
    average.swap(model)
    assert torch.equal(model.weight, mean) and torch.equal(average.weights["weight"], mine)
    average.swap(model)
    assert torch.equal(model.weight, mine) and torch.equal(average.weights["weight"], mean)


def test_the_average_is_young_at_first_and_then_slow():
    model = nn.Linear(1, 1)
    average = Average(model)
    for step, decay in ((0, 0.1), (10, 0.55), (10**6, 0.99)):
        nn.init.zeros_(model.weight)
        average.weights["weight"].fill_(1.0)
        average.update(model, step)
        assert average.weights["weight"].item() == pytest.approx(decay)
