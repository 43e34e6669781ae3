"""The transformer's training: fair draws, patches that wait, and questions with known answers."""

import math
import random
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from minisora import train_dit, world
from minisora.data import Batch, Bucket, object_cells
from minisora.dit import DiT, DiTConfig
from minisora.judge import THING
from minisora.presets import PRESETS
from minisora.train_dit import by_patch, dit_loss, draw_batch, draw_kept, hint_loss

CPU = torch.device("cpu")
SMALL = DiTConfig(width=24, depth=4, heads=2, text_depth=1)


# ---- draws ----


def buckets(n=5):
    z = torch.randn(n, 16, 9, 4, 6, generator=torch.Generator().manual_seed(0)).half()
    texts = [f"clip {i}" for i in range(n)]
    return [Bucket(z[:, :, :5, :, :4], texts, 3.0, 5), Bucket(z, texts, 1.0, 5)]


def test_a_steps_draws_depend_on_seed_and_step_alone():
    preset = PRESETS["dit"]["smoke"]
    torch.manual_seed(0)
    dit = DiT(preset.config)
    nn.init.normal_(dit.head.weight)

    def drawn(seed, step, others):
        torch.manual_seed(others)
        random.seed(others)
        batch = draw_batch(buckets(), preset, seed, step)
        before = torch.get_rng_state(), random.getstate()
        loss = dit_loss(dit, batch, preset, CPU, seed, step).item()
        assert torch.equal(before[0], torch.get_rng_state()) and before[1] == random.getstate()
        return batch[1], loss

    assert drawn(0, 3, others=1) == drawn(0, 3, others=2)
    assert len({drawn(seed, step, 1)[1] for seed in (0, 1) for step in (3, 4)}) == 4


def test_batches_are_of_one_size_in_the_shares_asked_for():
    preset = replace(PRESETS["dit"]["smoke"], images=0.0, still=0.0)
    shapes = [tuple(draw_batch(buckets(), preset, 0, step)[0].shape) for step in range(400)]
    wide = shapes.count((4, 16, 5, 4, 6))
    assert wide + shapes.count((4, 16, 5, 4, 4)) == 400
    assert 70 < wide < 130


def test_images_are_first_frames():
    preset = replace(PRESETS["dit"]["smoke"], images=1.0)
    first = torch.cat([b.latents[:, :, 0].flatten(1)[:, :16] for b in buckets()])
    for step in range(20):
        z, texts, starts, *_ = draw_batch(buckets(), preset, 0, step)
        assert z.shape[2] == 1 and len(z) == len(texts) == len(starts) > 3 and starts.all()
        for row in z[:, :, 0].flatten(1)[:, :16]:
            assert (row == first.float()).all(1).any()


def test_a_training_begins_with_images():
    preset = replace(PRESETS["dit"]["smoke"], images=0.0, still=0.25, steps=40)
    frames = [draw_batch(buckets(), preset, 0, step).z.shape[2] for step in range(40)]
    assert set(frames[:10]) == {1} and set(frames[10:]) == {5}


# ---- patches that wait ----


def test_a_share_of_each_frames_patches_is_kept():
    dice = torch.Generator().manual_seed(0)
    for share, count in ((4, 8), (2, 16)):
        kept = draw_kept((5, 8, 4), share, dice)
        assert kept.shape == (5, count) and 0 <= kept.min() and kept.max() < 32
        assert all(len(set(row)) == count for row in kept.tolist())
        assert len({tuple(row) for row in kept.tolist()}) == 5  # every frame has its own
    assert draw_kept((5, 8, 4), 1, dice) is None
    assert draw_kept((1, 1, 2), 4, dice).shape == (1, 1)


def test_more_patches_are_kept_as_the_training_goes_on(monkeypatch):
    shares, draw = [], train_dit.draw_kept
    monkeypatch.setattr(train_dit, "draw_kept", lambda g, s, d: shares.append(s) or draw(g, s, d))
    preset, dit = replace(PRESETS["dit"]["smoke"], steps=8, kept=(4, 2)), DiT(SMALL)
    for step in range(8):
        dit_loss(dit, draw_batch(buckets(), preset, 0, step), preset, CPU, 0, step)
    dit_loss(DiT(replace(SMALL, depth=2)), draw_batch(buckets(), preset, 0, 0), preset, CPU, 0, 0)
    assert shares == [4] * 4 + [2] * 4 + [1]  # a network without a middle sees all


@pytest.fixture(scope="module")
def dit():
    torch.manual_seed(0)
    model = DiT(SMALL)
    for p in model.parameters():
        nn.init.normal_(p, std=0.1)
    return model.eval()


@torch.no_grad()
def test_waiting_changes_nothing_if_no_patch_waits(dit):
    z, tau, tokens = torch.randn(2, 16, 3, 4, 4), torch.rand(2, 3), torch.randint(1, 300, (2, 6))
    order = torch.stack([torch.randperm(8) for _ in range(3)])
    every, asked = dit(z, tau, tokens, hints=True)
    again, shuffled = dit(z, tau, tokens, kept=order, hints=True)
    assert_close(every, again, atol=1e-5, rtol=1e-4)
    wanted = asked.unflatten(1, (3, 8))[:, torch.arange(3)[:, None], order].flatten(1, 2)
    assert_close(shuffled, wanted, atol=1e-5, rtol=1e-4)
    assert_close(every, dit(z, tau, tokens), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_middle_blocks_see_the_kept_patches_alone(dit):
    seen = []
    hooks = [b.register_forward_hook(lambda _, x, y: seen.append(y.shape[2])) for b in dit.blocks]
    inputs = torch.randn(1, 16, 3, 4, 4), torch.rand(1, 3), torch.ones(1, 2).long()
    dit(*inputs, kept=torch.tensor([[1, 5]] * 3))
    for hook in hooks:
        hook.remove()
    assert seen == [8, 2, 2, 8]


# ---- which object a patch shows ----


def test_a_patch_shows_what_any_of_its_cells_shows():
    cells = torch.tensor([[-1, -1, 0, -1], [1, 1, -1, 2]])[None, None]  # b t h w
    assert by_patch(cells, (1, 1, 2), None).tolist() == [[-1, 0, 1, 2]]
    assert by_patch(cells, (1, 2, 2), None).tolist() == [[1, 2]]
    assert by_patch(cells, (1, 1, 2), torch.tensor([[3, 0]])).tolist() == [[2, -1]]


def test_hints_cost_nothing_to_who_knows_and_nothing_without_a_scene():
    scene = world.sample_scene(3, objects=1)
    cells = by_patch(object_cells(scene, 2, 8, 8)[None], (1, 1, 2), None)
    assert (cells >= 0).any() and (cells < 0).any()
    said = [torch.where(cells >= 0, 30.0, -30.0)[..., None]]
    for name, values in THING.items():
        number = torch.tensor(values.index(getattr(scene.objects[0], name)))
        said.append(30.0 * nn.functional.one_hot(number, len(values)).expand(*cells.shape, -1))
    knows = torch.cat(said, -1)
    assert knows.shape[-1] == DiTConfig().hints
    assert hint_loss(knows, cells, [scene]) < 1e-6
    assert hint_loss(-knows, cells, [scene]) > 30
    guess = hint_loss(torch.zeros_like(knows), cells, [scene]).item()
    assert guess == pytest.approx(math.log(2) + sum(math.log(len(v)) for v in THING.values()))
    assert hint_loss(knows, cells, ["a clip from anywhere"]) == 0


def test_hints_teach_the_words_and_images_have_them_too(dit):
    scenes = [world.sample_scene(i) for i in range(6)]
    cells = torch.stack([object_cells(scene, 3, 8, 8) for scene in scenes])
    z, starts = torch.randn(6, 16, 3, 8, 8), torch.arange(6) < 4
    batch = Batch(z, [scene.caption for scene in scenes], starts, cells, scenes)
    for some in (batch, batch.images()):
        assert len(some.z) == len(some.sources) == len(some.texts) == len(some.cells)
        model = deepcopy(dit)
        preset = replace(PRESETS["dit"]["smoke"], hints=1.0)
        dit_loss(model, some, preset, CPU, 0, 0).backward()
        assert model.hint.weight.grad.abs().sum() > 0
        assert model.text.words.weight.grad.abs().sum() > 0
    assert batch.images().sources == scenes[:4]
