"""The judge: objects in any order, exact scores, and it learns."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from minisora import judge as judges
from minisora import world
from minisora.checkpoints import load_model, save_model
from minisora.data import object_cells
from minisora.device import autocast
from minisora.judge import PLACE, SLOTS, THING, Judge, JudgeConfig, labels, match, mirrored, right
from minisora.presets import PRESETS
from minisora.train import UNSEEN, optimizers
from minisora.video import frames_to_tensor

SMALL = JudgeConfig(width=24, depth=1, heads=2, features=12)


@pytest.fixture
def judge():
    torch.manual_seed(0)
    return Judge(SMALL)


@pytest.fixture(scope="module")
def scenes():
    """Two scenes each of one, two and three objects."""
    return [world.sample_scene(seed, objects=k) for k in (1, 2, 3) for seed in (0, 1)]


def said_by_chance(b, seed=0):
    """Logits of `b` clips, drawn."""
    torch.manual_seed(seed)
    things = {name: torch.randn(b, SLOTS, len(values)) for name, values in THING.items()}
    places = {name: torch.randn(b, len(values)) for name, values in PLACE.items()}
    return {"present": torch.randn(b, SLOTS), **things, **places}


def perfect(scenes, order=(0, 1, 2), sure=20.0):
    """Logits that say the truth, object k in slot order[k]."""
    truth, back = labels(scenes), [order.index(slot) for slot in range(SLOTS)]
    said = {"present": sure * (2.0 * (truth["shape"][:, back] >= 0) - 1)}
    for name, values in THING.items():
        said[name] = sure * F.one_hot(truth[name][:, back].clamp_min(0), len(values)).float()
    for name, values in PLACE.items():
        said[name] = sure * F.one_hot(truth[name], len(values)).float()
    return said


# ---- the network ----


@pytest.mark.parametrize("shape", [(2, 3, 5, 16, 32), (1, 3, 1, 48, 16), (3, 3, 9, 32, 32)])
def test_it_says_something_of_every_size(judge, shape):
    said, b = judge(torch.randn(shape)), shape[0]
    assert said["present"].shape == (b, SLOTS) and said["features"].shape == (b, 12)
    for name, values in THING.items():
        assert said[name].shape == (b, SLOTS, len(values))
    for name, values in PLACE.items():
        assert said[name].shape == (b, len(values))


def test_what_does_not_fit_is_told(judge, refuses):
    for shape in ((3, 5, 16, 16), (1, 4, 5, 16, 16), (1, 3, 4, 16, 16), (1, 3, 5, 16, 24)):
        with refuses("b 3 t h w", "1+4k", str(shape)):
            judge(torch.zeros(shape))


def test_gradients_reach_every_parameter_and_each_has_one_optimizer(judge, scenes):
    said, truth = judge(torch.randn(6, 3, 5, 16, 32)), labels(scenes)
    cells = torch.stack([object_cells(scene, 2, 1, 2) for scene in scenes])
    (
        judges.judge_loss(said, truth) + judges.local_loss(said["local"], truth, cells.flatten(1))
    ).backward()
    for name, p in judge.named_parameters():
        if "time.weight" not in name and "space" not in name and "time_norm" not in name:
            assert p.grad is not None and p.grad.abs().max() > 0, name
    muon, adam = ({id(p) for g in o.param_groups for p in g["params"]}
                  for o in optimizers(judge, PRESETS["judge"]["smoke"]))  # fmt: skip
    assert not muon & adam and muon | adam == {id(p) for p in judge.parameters()}
    for name, p in judge.named_parameters():
        outer = any(part in name for part in ("stem", "embed", "head"))
        assert (id(p) in muon) == (p.ndim == 2 and not outer), name


def test_a_token_is_asked_for_the_object_that_it_shows(scenes):
    truth, cells = labels(scenes), torch.tensor([[0, -1]]).repeat(6, 1)
    # every first token shows object 0, every second one none
    sure = [20 * F.one_hot(truth[name][:, 0], len(values)) for name, values in THING.items()]
    first = torch.cat([torch.full((6, 1), 20), *sure], 1).float()
    local = torch.stack([first, torch.full_like(first, -20)], 1)
    assert judges.local_loss(local, truth, cells) < 1e-3
    assert judges.local_loss(local.flip(1), truth, cells) > 20


def test_when_matters(judge):
    """The same pictures in another order are another clip, though each block sees sets."""
    x = torch.randn(1, 3, 9, 16, 16)
    torch.nn.init.normal_(judge.fine.time.weight, std=0.1)
    one, two = judge(x), judge(x.flip(2))
    assert (one["motion"] - two["motion"]).abs().max() > 1e-3


def test_saying_is_the_mean_of_five_looks_in_batches_and_without_gradients(judge):
    x = torch.randn(35, 3, 1, 16, 16)
    said = judge.say(x)
    assert not said["shape"].requires_grad
    near = [torch.arange(16).add(i).clamp(0, 15) for i in (-2, 0, 2)]  # edges are repeated
    moved = [x, x[..., near[0]], x[..., near[2]], x[..., near[0], :], x[..., near[2], :]]
    with torch.no_grad(), autocast(x.device):  # what learns has another kernel
        whole = torch.stack([judge(look)["shape"].float() for look in moved]).mean(0)
    assert_close(said["shape"], whole, atol=1e-5, rtol=1e-5)
    assert_close(judge.features(x), said["features"])


# ---- the truth ----


def test_labels_name_what_scenes_show(scenes):
    truth = labels(scenes)
    for i, scene in enumerate(scenes):
        for k in range(SLOTS):
            for name, values in THING.items():
                number = truth[name][i, k].item()
                assert number == -1 if k >= len(scene.objects) else (
                    values[number] == getattr(scene.objects[k], name)
                )  # fmt: skip
        assert PLACE["camera"][truth["camera"][i]] == scene.camera.motion
        assert PLACE["ground"][truth["ground"][i]] == scene.ground
        assert PLACE["sky"][truth["sky"][i]] == scene.sky


def test_a_mirror_swaps_left_and_right_and_nothing_else(scenes):
    truth, flip = labels(scenes), torch.tensor([True, False] * 3)
    there = mirrored(truth, flip)
    for name, values in {**THING, **PLACE}.items():
        for i in range(6):
            for before, after in zip(truth[name][i].view(-1), there[name][i].view(-1), strict=True):
                old, new = (values[n] if n >= 0 else "none" for n in (before, after))
                turned = {"left": "right", "right": "left"}.get(old.split()[-1], old.split()[-1])
                if flip[i] and name in ("motion", "camera"):
                    assert new.split() == [*old.split()[:-1], turned]
                else:
                    assert new == old
    again = mirrored(there, flip)
    assert all(torch.equal(again[name], truth[name]) for name in truth)
    all_of_them = {"motion": torch.arange(12), "camera": torch.arange(12) % 6}
    turned = mirrored(all_of_them, torch.ones(12, dtype=torch.bool))
    moved = [THING["motion"][i] for i in (turned["motion"] != torch.arange(12)).nonzero()]
    assert moved == ["slides left", "slides right"]


# ---- matching ----


def cost_by_hand(said, truth, i, slot, k) -> float:
    """The negative log-likelihood of object k of clip i in a slot."""
    logit = said["present"][i, slot].item()
    if truth["shape"][i, k] < 0:
        return math.log1p(math.exp(logit))
    chances = (F.softmax(said[name][i, slot], -1)[truth[name][i, k]] for name in THING)
    return math.log1p(math.exp(-logit)) - sum(math.log(p) for p in chances)


def test_matching_is_the_best_of_all_orders(scenes):
    said, truth = said_by_chance(6), labels(scenes)
    cost = judges.slot_costs(said, truth)
    slots = match(cost)
    by_hand = []
    for i in range(6):
        table = [[cost_by_hand(said, truth, i, s, k) for k in range(SLOTS)] for s in range(SLOTS)]
        assert_close(cost[i], torch.tensor(table), atol=1e-5, rtol=1e-5)
        totals = {
            order: sum(table[slot][k] for k, slot in enumerate(order))
            for order in itertools.permutations(range(SLOTS))
        }
        best = min(totals, key=totals.get)
        assert tuple(slots[i].tolist()) == best
        by_hand.append(totals[best])
    places = sum(F.cross_entropy(said[name], truth[name]) for name in PLACE)
    loss = judges.judge_loss(said, truth, smooth=0.0)
    assert_close(loss, torch.tensor(by_hand).mean() + places, atol=1e-4, rtol=1e-5)


def test_fewer_objects_than_slots_are_matched_too():
    cost = torch.tensor([[[5.0, 1.0], [4.0, 2.0], [0.0, 9.0]]])  # 1 slots objects
    assert match(cost).tolist() == [[2, 0]]


@pytest.mark.parametrize("order", [*itertools.permutations(range(SLOTS))])
def test_the_truth_costs_nothing_in_any_order(scenes, order):
    said = perfect(scenes, order)
    assert judges.judge_loss(said, labels(scenes), smooth=0.0) < 1e-6
    for k, pair in enumerate((scenes[:2], scenes[2:4], scenes[4:])):
        hits = right({name: v[2 * k : 2 * k + 2] for name, v in said.items()}, pair)
        assert set(hits) == {*THING, *PLACE, "every", "number"}
        assert all(hit.all() and hit.shape == (2,) for hit in hits.values())


@pytest.mark.parametrize("name", [*THING, *PLACE])
def test_one_wrong_attribute_is_one_wrong_attribute(scenes, name):
    said = perfect(scenes[2:4])
    said[name][0] = said[name][0].roll(1, -1)  # of clip 0, in all its objects
    hits = right(said, scenes[2:4])
    for other, hit in hits.items():
        assert hit.tolist() == [other not in (name, "every"), True], other


def test_an_object_too_many_is_a_wrong_number_alone(scenes):
    said = perfect(scenes[:2])
    said["present"][1, 2] = 3.0
    hits = right(said, scenes[:2])
    assert hits["number"].tolist() == [True, False] and hits["every"].all()


def test_the_likeliest_slots_count_and_not_the_best_fitting(scenes):
    said = perfect(scenes[:1])
    said["present"] = torch.tensor([[-1.0, 2.0, -3.0]])
    assert not right(said, scenes[:1])["every"].any()


def test_scenes_of_several_numbers_of_objects_are_refused(scenes, refuses):
    with refuses("one number of objects", "[1, 2]"):
        right(perfect(scenes[1:3]), scenes[1:3])


# ---- learning ----


def test_a_batch_is_overfitted():
    torch.manual_seed(0)
    judge = Judge(JudgeConfig(width=48, depth=2, heads=2))
    scenes = [world.sample_scene(i, objects=1 + i % 3) for i in range(6)]
    clips = [world.render(s, samples=1, frames=5, height=32, width=32).frames for s in scenes]
    x, truth = torch.stack([frames_to_tensor(clip) for clip in clips]), labels(scenes)
    opts = optimizers(judge, PRESETS["judge"]["smoke"])
    for _ in range(120):
        judge.zero_grad()
        loss = judges.judge_loss(judge(x), truth, smooth=0.0)
        loss.backward()
        for opt in opts:
            opt.step()
    assert loss < 0.1
    for k in range(3):  # in one look: moved clips are not what it has learnt by heart
        said = {name: logits[k::3] for name, logits in judge(x).items()}
        assert all(hit.all() for hit in right(said, scenes[k::3]).values())


def test_training_repeats_and_is_scored_on_unseen_clips(weights, monkeypatch):
    preset, vae = PRESETS["judge"]["smoke"], load_model(weights / "vae.safetensors", "vae")
    from minisora import data

    asked, bucket = [], data.bucket
    monkeypatch.setattr(data, "bucket", lambda *a: asked.append(a[1:]) or bucket(*a))
    curves = []
    for noise in (1, 2):
        torch.manual_seed(0)
        judge = Judge(preset.config)
        steps = judges.train_judge(judge, vae, preset, seed=3)
        torch.manual_seed(noise)  # nothing may depend on it
        curves.append([(r.loss, r.score) for r in steps])
    assert curves[0] == curves[1] and len(curves[0]) == preset.steps
    assert [i for i, (_, score) in enumerate(curves[0], 1) if score is not None] == [10, 20]
    filmed = [(24, 0), (4, UNSEEN, "heldout"), (8, UNSEEN)]
    assert [(size.count, *more) for size, *more in asked[:3]] == filmed
    assert not judge.training


def test_the_judges_clips_are_of_one_size():
    for name in ("smoke", "cpu", "gpu"):
        assert len({(s.frames, s.height, s.width) for s in PRESETS["judge"][name].sizes}) == 1


def test_weights_come_back(judge, tmp_path, refuses):
    path = tmp_path / "judge.safetensors"
    save_model(path, judge, half=False)
    again, x = load_model(path, "judge"), torch.randn(1, 3, 5, 16, 16)
    assert again.config == SMALL
    assert_close(again(x)["motion"], judge(x)["motion"].detach())
    with refuses("holds 'judge'", "'dit'"):
        load_model(path, "dit")
    with refuses("minisora train judge"):
        load_model(tmp_path / "none.safetensors", "judge")
