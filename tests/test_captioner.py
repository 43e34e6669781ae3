"""The captioner: sizes, causality, what it leaves out, and it learns."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from minisora import captioner as captioners
from minisora import sora as models
from minisora import world
from minisora.captioner import (
    Captioner,
    CaptionerConfig,
    canonical,
    caption_loss,
    caption_of,
    place_loss,
)
from minisora.checkpoints import fingerprint, load_model, save_model
from minisora.evaluate import COLUMNS, certain, compare, shares
from minisora.expand import Expansion
from minisora.judge import PLACE, THING
from minisora.presets import PRESETS
from minisora.text import NULL, PAD, batch_tokens, tokenize
from minisora.train import UNSEEN, optimizers
from minisora.video import Video
from minisora.world.sample import propose
from minisora.world.scenes import COLORS

SMALL = CaptionerConfig(channels=5, width=24, depth=1, text_depth=1, heads=2)
TEXT = "a large red sphere bounces on a checkered floor by day, the camera is still"


@pytest.fixture
def captioner():
    torch.manual_seed(0)
    return Captioner(SMALL)


def given(*texts):
    """Captions as the captioner reads them: the null token and then the words."""
    return batch_tokens([[NULL, *tokenize(text)] for text in texts])


# ---- the network ----


@pytest.mark.parametrize("shape", [(2, 5, 3, 4, 6), (1, 5, 1, 3, 7), (3, 5, 9, 6, 2)])
def test_it_reads_latents_of_every_size(captioner, shape):
    words = given(*["a cube"] * shape[0])
    assert captioner(torch.randn(shape), words).shape[:2] == (shape[0], 3)
    seen = captioner.see(torch.randn(shape))
    assert seen.shape == (shape[0], shape[2] * -(-shape[3] // 2) * -(-shape[4] // 2), 24)


def test_what_does_not_fit_is_told(captioner, refuses):
    for shape in ((5, 3, 4, 4), (1, 6, 3, 4, 4)):
        with refuses("b 5 t h w", str(shape)):
            captioner(torch.zeros(shape), given("a"))


def test_a_word_depends_on_the_clip_and_on_what_was_said_before_it(captioner):
    z, words = torch.randn(2, 5, 3, 4, 6), given("a red cube", "a red cube")
    words[1, 2] += 1
    same, other = captioner(z[:1].expand(2, -1, -1, -1, -1), words)
    assert_close(same[:2], other[:2])
    assert (same[2:] - other[2:]).abs().max() > 1e-4
    one, two = captioner(z, given("a", "a"))
    assert (one - two).abs().max() > 1e-4


def test_when_and_where_matter(captioner):
    z = torch.randn(1, 5, 3, 4, 6)
    plain = captioner(z, given("a"))
    for turned in (z.flip(2), z.flip(3), z.flip(4)):
        assert (captioner(turned, given("a")) - plain).abs().max() > 1e-4


def test_gradients_reach_every_parameter_and_each_has_one_optimizer(captioner):
    for block in captioner.fine:
        torch.nn.init.normal_(block.time.weight, std=0.1)
    seen = captioner.see(torch.randn(2, 5, 3, 4, 6))
    known = captioner.norm(seen)
    asked = (
        captioner.local_head(known).square().mean() + captioner.place_head(known).square().mean()
    )
    (caption_loss(captioner, seen, [TEXT, "a cube"]) + asked).backward()
    for name, p in captioner.named_parameters():
        assert p.grad is not None and p.grad.abs().max() > 0, name
    muon, adam = ({id(p) for g in o.param_groups for p in g["params"]}
                  for o in optimizers(captioner, PRESETS["captioner"]["smoke"]))  # fmt: skip
    assert not muon & adam and muon | adam == {id(p) for p in captioner.parameters()}
    for name, p in captioner.named_parameters():
        outer = any(part in name for part in ("stem", "embed", "places", "head"))
        assert (id(p) in muon) == (p.ndim == 2 and not outer), name


def test_the_loss_is_of_words_and_one_end(captioner):
    z = torch.randn(2, 5, 3, 4, 6)
    rows = []
    for i, text in enumerate(("a cube", TEXT)):
        words = tokenize(text)
        logits = captioner(z[i : i + 1], given(text))[0].log_softmax(-1)
        rows += [-logits[k, word] for k, word in enumerate([*words, PAD])]
    seen = captioner.see(z)
    assert_close(caption_loss(captioner, seen, ["a cube", TEXT]), torch.stack(rows).mean())
    with pytest.warns(UserWarning, match="cut off"):
        assert caption_loss(captioner, seen, ["a cube " * 60, TEXT]) > 0


# ---- captions ----


def test_objects_are_named_in_the_order_of_their_colours():
    for seed in range(40):
        scene = propose(random.Random(seed), "train", 1 + seed % 3)
        text = canonical(scene)
        said = Expansion(text).scene
        assert len(text) == len(scene.caption) or len(scene.objects) > 1
        things = sorted(scene.objects, key=lambda t: [*COLORS].index(t.color))
        if not any(t.partner is not None for t in things):
            assert [t.color for t in said.objects] == [t.color for t in things]
        else:
            one = next(t for t in scene.objects if t.partner is not None)
            two = next(t for t in said.objects if t.partner is not None)
            assert one.color == two.color
            assert said.objects[two.partner].color == scene.objects[one.partner].color


def test_what_is_not_sure_is_left_out():
    words = tokenize(TEXT)
    p = [0.99] * len(words)
    sure = caption_of(words, p, 0.5)
    assert sure.text == sure.full == TEXT and not sure.unsure
    assert sure.confidence == pytest.approx(0.99 ** len(words))
    assert sure.chances["ground"] == pytest.approx(0.99**2)  # checkered floor
    assert set(sure.chances) == {*THING, *PLACE}
    for word, name, text in (
        ("red", "color", TEXT.replace(" red ", " ")),
        ("sphere", "shape", TEXT.replace("sphere", "object")),
        ("bounces", "motion", TEXT.replace("bounces ", "")),
        ("large", "size", TEXT.replace("large ", "")),
        ("day", "sky", TEXT.replace(" by day", "")),
        ("still", "camera", TEXT.split(", the camera")[0]),
    ):
        chances = [0.3 if said == word else 0.99 for said in TEXT.replace(",", " ,").split()]
        found = caption_of(words, chances, 0.5)
        assert found.unsure == (name,) and found.text == text and found.full == TEXT
        assert found.chances[name] < 0.31


def test_where_nothing_is_sure_nothing_is_said():
    words = tokenize("a red cube spins and a blue cone bounces on sand")
    found = caption_of(words, [0.3] * len(words), 0.5)
    assert found.text == "" and found.full and len(found.unsure) == len(found.chances)


def test_nonsense_is_no_error():
    assert caption_of([], [], 0.5).text == ""
    odd = caption_of([258, 5, 260, 300, 270], [0.9] * 5, 0.5)
    assert odd.full and odd.confidence == pytest.approx(0.9**5)


def test_writing_ends_and_is_the_same_in_batches(captioner):
    z = torch.randn(35, 5, 2, 2, 2)
    captions = [*captioner.write(z)]
    assert len(captions) == 35 and all(len(c.full.split()) <= 48 for c in captions)
    assert captions[33].full == next(captioner.write(z[33:34])).full


def test_several_looks_at_a_clip_vote_on_every_word(captioner, monkeypatch):
    monkeypatch.setattr(captioners, "caption_of", lambda tokens, p, sure: (tokens, p))
    z = torch.randn(34, 3, 5, 2, 2, 2)
    (tokens, p), *_, (_, last) = captioner.write(z)
    null = torch.full((3, 1), NULL)
    first = [captioner(z[i], null)[:, 0].mean(0).softmax(-1) for i in (0, 33)]
    assert p[0] == pytest.approx(first[0].max().item(), rel=1e-4)
    assert last[0] == pytest.approx(first[1].max().item(), rel=1e-4)
    one, same = (next(captioner.write(x)) for x in (z[:1, 0], z[:1, :1].expand(1, 4, *z.shape[2:])))
    assert one[0] == same[0] and one[1] == pytest.approx(same[1], rel=1e-4)


def test_reading_looks_five_times_wherever_the_clip_fits(talking, monkeypatch):
    seen = []
    monkeypatch.setattr(Captioner, "write", lambda self, z, sure: seen.append(z) or "ab")
    x = torch.rand(10, 3, 5, 32, 48) * 2 - 1
    assert [*captioners.read(talking, x)] == [*"abab"]  # eight clips at once
    assert [z.shape[:2] for z in seen] == [(8, 5), (2, 5)]
    assert_close(seen[0][:, 0], talking.encode(x[:8]))
    left = torch.cat([x[8:, ..., 2:], x[8:, ..., -1:], x[8:, ..., -1:]], -1)  # moved by two pixels
    assert_close(seen[1][:, 1], talking.encode(left))


def test_comparing_counts_every_attribute_and_the_number():
    scenes = [world.sample_scene(seed, objects=k) for k in (1, 2) for seed in (0, 1)]
    hits = compare(certain(scenes), scenes)
    assert all(hit.all() and len(hit) == 4 for hit in hits.values())
    fewer = [*scenes[:3], replace(scenes[3], objects=scenes[3].objects[1:])]
    hits = compare(certain(fewer), scenes)
    assert hits["every"].tolist() == hits["number"].tolist() == [True] * 3 + [False]
    wrong = [replace(scenes[0], sky="fog" if scenes[0].sky != "fog" else "day"), *scenes[1:]]
    assert compare(certain(wrong), scenes)["sky"].tolist() == [False, True, True, True]


# ---- learning ----


def test_a_batch_is_overfitted():
    torch.manual_seed(0)
    captioner = Captioner(CaptionerConfig(channels=5, width=48, depth=1, text_depth=1, heads=2))
    z = torch.randn(4, 5, 2, 4, 4)
    texts = [canonical(world.sample_scene(seed, objects=1 + seed % 2)) for seed in range(4)]
    opts = optimizers(captioner, PRESETS["captioner"]["smoke"])
    for _ in range(100):
        captioner.zero_grad()
        loss = caption_loss(captioner, captioner.see(z), texts)
        loss.backward()
        for opt in opts:
            opt.step()
    assert loss < 0.05
    captions = [*captioner.eval().write(z, sure=0.0)]
    assert [c.full for c in captions] == texts and min(c.confidence for c in captions) > 0.3


def begin(weights, progress=None):
    preset = PRESETS["captioner"]["smoke"]
    torch.manual_seed(0)
    vae = load_model(weights / "vae.safetensors", "vae")
    model = Captioner(preset.config)
    return model, captioners.train_captioner(model, vae, preset, 3, progress)


def test_training_repeats_resumes_and_is_scored_on_unseen_clips(weights, tmp_path, monkeypatch):
    from minisora import data

    asked, bucket = [], data.bucket
    monkeypatch.setattr(data, "bucket", lambda *a: asked.append(a[1:]) or bucket(*a))
    unbroken, steps = begin(weights)
    records = [(r.step, r.loss, r.score) for r in steps]
    assert [i for i, _, score in records if score is not None] == [10, 20]
    filmed, rare, unseen = [(24, 0), (8, 24)], (4, UNSEEN, "heldout"), (8, UNSEEN)
    assert [(a[0].count, *a[1:]) for a in asked] == [*filmed, rare, unseen]
    assert records[-1][1] < records[0][1] - 1
    _, steps = begin(weights, tmp_path / "a.pt")
    first = [next(steps) for _ in range(7)]
    steps.close()
    resumed, steps = begin(weights, tmp_path / "a.pt")
    torch.manual_seed(9)  # nothing may depend on it
    rest = [*steps]
    assert [(r.step, r.loss, r.score) for r in first + rest] == records
    for one, two in zip(unbroken.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, two)


def test_its_unseen_clips_are_those_of_the_judge():
    """So their cache is shared, as is that of the clips that both learn from."""
    for name in ("smoke", "cpu"):
        both = [PRESETS[kind][name] for kind in ("captioner", "judge")]
        captioner, judge = (replace(p.sizes[0], count=p.checked) for p in both)
        assert captioner == judge
        assert both[0].sizes[0] == both[1].sizes[0]


def test_its_patches_are_asked_which_object_they_show(weights, monkeypatch):
    from minisora import train_dit

    asked, ask = [], train_dit.hint_loss
    monkeypatch.setattr(train_dit, "hint_loss", lambda *a: asked.append(a) or ask(*a))
    model, steps = begin(weights)
    before = model.local_head.weight.detach().clone()
    next(steps)
    ((hints, cells, scenes),) = asked
    assert hints.shape == (*cells.shape, 28) and len(scenes) == len(cells) and cells.max() >= 0
    assert all(cells[i].max() < len(scene.objects) for i, scene in enumerate(scenes))
    assert not torch.equal(model.local_head.weight, before)


def test_all_its_patches_together_are_asked_about_the_place(weights, monkeypatch):
    asked, ask = [], captioners.place_loss
    monkeypatch.setattr(captioners, "place_loss", lambda *a: asked.append(a) or ask(*a))
    model, steps = begin(weights)
    before = model.place_head.weight.detach().clone()
    next(steps)
    ((said, scenes),) = asked
    assert said.shape == (len(scenes), sum(map(len, PLACE.values())))
    assert not torch.equal(model.place_head.weight, before)


def test_the_place_is_known_by_camera_ground_and_sky():
    scenes = [propose(random.Random(seed), "train", 1) for seed in range(6)]
    truth = [PLACE[n].index(v) + k for s in scenes for n, v, k in place_of(s)]
    said = torch.zeros(6, 14)
    assert_close(place_loss(said, scenes), torch.tensor([6.0, 4, 4]).log().sum())
    said[torch.arange(6).repeat_interleave(3), truth] = 50.0
    assert place_loss(said, scenes) < 1e-6


def place_of(scene):
    return ("camera", scene.camera.motion, 0), ("ground", scene.ground, 6), ("sky", scene.sky, 10)


def test_equally_right_orders_of_objects_are_one_caption():
    for seed in range(20):
        scene = propose(random.Random(seed), "train", 3)
        turned, at = [], [2, 0, 1]  # where each object goes
        for k in (1, 2, 0):
            thing = scene.objects[k]
            turned.append(
                thing if thing.partner is None else replace(thing, partner=at[thing.partner])
            )
        assert canonical(replace(scene, objects=tuple(turned))) == canonical(scene)


# ---- from a video to a sentence ----


@pytest.fixture(scope="module")
def talking(trained):
    return models.load(trained, "cpu")


def clip(frames=9, height=48, width=48):
    return world.render(world.sample_scene(0), frames=frames, height=height, width=width)


def test_everything_that_is_a_picture_or_a_clip_gets_a_caption(talking, tmp_path):
    video = clip()
    video.save(tmp_path / "a.mp4")
    made = talking.generate("a red ball bounces", frames=5, width=32, height=32, steps=1, seed=0)
    for source in (video, video.frames, video.image, made, tmp_path / "a.mp4"):
        found = talking.caption(source, sure=0.0)
        assert found.full and 0 <= found.confidence <= 1
        assert found == talking.caption(source, sure=0.0)
    assert talking.caption(video).full == talking.caption(video.frames).full


def test_of_a_long_clip_the_first_four_seconds_are_described(talking):
    frames = np.concatenate([clip(33).frames, clip(9).frames])
    with pytest.warns(UserWarning, match="only its first 33 frames are used"):
        found = talking.caption(Video(frames))
    assert found == talking.caption(Video(frames[:33]))
    short = Video(frames[:7])  # neither 5 nor 9: the last frame is held
    held = np.concatenate([frames[:7], frames[6:7], frames[6:7]])
    assert talking.caption(short) == talking.caption(held)


def test_a_captioner_reads_the_latents_of_one_vae(talking, trained, tmp_path, refuses):
    assert talking.captioner.config.vae == fingerprint(talking.vae)
    for name in ("vae", "dit"):
        (tmp_path / f"{name}.safetensors").write_bytes(
            (trained / f"{name}.safetensors").read_bytes()
        )
    other = load_model(trained / "captioner.safetensors", "captioner")
    other.config = replace(other.config, vae="another")
    save_model(tmp_path / "captioner.safetensors", other)
    with refuses("no captioner for this VAE", f"minisora train captioner --out {tmp_path}"):
        models.load(tmp_path, "cpu").caption(clip())


def test_the_figures_add_up(talking, trained):
    from minisora.evaluate import examine

    judge = load_model(trained / "judge.safetensors", "judge")
    exam = examine(talking, judge, 4, 2, captions=True, frames=5, height=32, width=32)
    assert all(len(told) == 4 for told in exam.told.values())
    found = shares(exam)
    assert set(found) == {*THING, *PLACE, "every", "number"}
    for cells in found.values():
        assert list(cells) == [*COLUMNS, "captioned", "agreed"]
        assert all(0 <= share <= 1 and low <= high for share, low, high in cells.values())
