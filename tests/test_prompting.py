"""Images and videos as prompts: what is given comes back, what is asked for is made or refused."""

import json

import numpy as np
import pytest
from PIL import Image

from minisora import prompting, world
from minisora.expand import Expansion, retell
from minisora.video import Video

PROMPT = "a red sphere bounces"
FAST = dict(steps=2, guidance=1.0, seed=3)


def film(frames=9, seed=0, **size):
    return world.render(world.sample_scene(seed), frames, **{"height": 32, "width": 48, **size})


@pytest.fixture(scope="module")
def clip():
    return film()


def same(one, two):
    np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


def close(one, two):
    assert np.abs(np.asarray(one).astype(int) - np.asarray(two)).max() <= 1


def through_vae(sora, frames):
    return sora.decode(sora.encode(np.asarray(frames)[None]))[0]


# ---- each of them ----


def test_animate(sora, clip):
    video = sora.animate(clip.image, PROMPT, frames=9, **FAST)
    assert video.frames.shape == (9, 32, 48, 3) and video.fps == 8
    close(video.frames[:1], through_vae(sora, clip.frames[:1]))
    other = sora.animate(film(seed=1).image, PROMPT, frames=9, **FAST)
    assert np.abs(other.frames[1:].astype(int) - video.frames[1:]).mean() > 1
    with pytest.warns(UserWarning, match="only its first frame is used"):
        same(sora.animate(clip, PROMPT, frames=9, **FAST), video)
    assert len(sora.animate(clip.image, PROMPT, frames=37, **FAST)) == 37  # rolled


@pytest.mark.parametrize("t", [5, 9, 18, 41])
def test_extend_forward(sora, t):
    clip = film(t)
    video = sora.extend(clip, PROMPT, frames=4, **FAST)
    assert len(video) == t + 4
    same(video.frames[: t - 4], clip.frames[: t - 4])
    used = (min(t, 33) - 1) // 4 * 4 + 1
    close(video.frames[t - 1], through_vae(sora, clip.frames[t - used :])[-1])


@pytest.mark.parametrize("t", [5, 9, 18, 41])
def test_extend_backward(sora, t):
    clip = film(t)
    video = sora.extend(clip, PROMPT, "backward", frames=4, **FAST)
    assert len(video) == 4 + t
    same(video.frames[8:], clip.frames[4:])
    assert np.abs(video.frames[4:8].astype(int) - clip.frames[:4]).mean() < 40  # and not shifted


def test_connect(sora):
    a, b = film(18), film(11, seed=1)
    video = sora.connect(a, b, PROMPT, frames=8, **FAST)
    assert len(video) == 18 + 8 + 11
    same(video.frames[:14], a.frames[:14])
    same(video.frames[-7:], b.frames[-7:])
    pictures = sora.connect(a.image, b.image, PROMPT, frames=4, **FAST)
    assert len(pictures) == 1 + 4 + 4  # the second is held
    close(pictures.frames[0], through_vae(sora, a.frames[:1])[0])


@pytest.mark.parametrize("t", [9, 17, 34, 80])
def test_loop(sora, t):
    clip = film(t)
    video = sora.loop(clip, PROMPT, frames=8, **FAST)
    assert len(video) == t + 8
    same(video.frames[4 : t - 4], clip.frames[4 : t - 4])
    away = np.abs(video.frames[:t].astype(int) - clip.frames).mean((1, 2, 3))
    assert (np.diff(away[:4]) < 0).all() and (np.diff(away[-4:]) > 0).all()  # fading, either way


def test_the_general_form(sora, clip):
    given = np.array([True] + [False] * 4 + [True] * 4)
    video = sora.fill(clip, given, PROMPT, **FAST)
    hidden = clip.frames.copy()
    hidden[1:5] = 0
    same(sora.fill(hidden, given.tolist(), PROMPT, **FAST), video)
    same(sora.fill(hidden, "0,5-8", PROMPT, **FAST), video)
    assert video.provenance["given"] == "■□□□□■■■■"
    nothing = sora.fill(clip, np.zeros(9, bool), PROMPT, **FAST)
    made = sora.generate(PROMPT, width=48, height=32, frames=9, **FAST)
    same(nothing, made)
    picture = sora.animate(clip.image, PROMPT, frames=9, **FAST)
    same(sora.fill(clip, np.arange(9) < 1, PROMPT, **FAST), picture)


def test_edit(sora):
    clip = film(11)
    none = sora.edit(clip, PROMPT, 0.0, **FAST)
    assert len(none) == 11
    padded = np.concatenate([clip.frames, clip.frames[-1:], clip.frames[-1:]])
    close(none, through_vae(sora, padded)[:11])
    away = [
        np.abs(sora.edit(clip, PROMPT, s, **FAST).frames.astype(int) - none.frames).mean()
        for s in (0.2, 0.6, 1.0)
    ]
    assert 0 < away[0] < away[1] < away[2]
    assert len(sora.edit(clip.image, PROMPT, **FAST)) == 1
    made = sora.generate(PROMPT, width=48, height=32, frames=9, **FAST)
    close(sora.edit(clip.frames[:9], PROMPT, 1, **FAST), made)  # nothing of it is kept


def test_an_edit_names_only_what_changes(sora):
    seen = Expansion("a red cube spins on grass, the camera rises").scene
    told = retell(
        [seen] * 5, ["on snow", "a blue ball", "bounces", "a small cone", "zoom in at night"]
    )
    assert told == [
        "a red cube spins on snow, the camera rises",
        "a blue sphere spins on grass, the camera rises",
        "a red cube bounces on grass, the camera rises",
        "a small red cone spins on grass, the camera rises",
        "a red cube spins on grass at night, the camera zooms in",
    ]
    pair = Expansion("a red cube spins and a blue ring rolls right").scene
    assert "red cube spins and a green ring" in retell([pair], ["the ring is green"])[0]
    lost = retell([Expansion("a ring stands still").scene], ["a ball that rolls away"])
    assert lost == ["a sphere rolls away"]
    with pytest.raises(ValueError, match="^nothing would change: 'of the' names no"):
        retell([seen, seen], ["on snow", "of the"])
    edited = sora.edit(film(9), "on snow", **FAST)
    assert "snow" in edited.provenance.get("expand", "on snow")
    assert "expand" not in sora.edit(film(9), "on snow", expand=False, **FAST).provenance


def test_long(sora, monkeypatch):
    told, denoise = [], sora.denoise
    monkeypatch.setattr(sora, "denoise", lambda *a, **k: told.append(a[1]) or denoise(*a, **k))
    steps = []
    options = dict(FAST, width=16, height=32, on_step=steps.append)
    video = sora.long(["a red ball rolls", "a red ball spins"], 6, **options)
    assert video.frames.shape == (49, 32, 16, 3) and len(told) == 4
    assert told == [["a red ball rolls"]] * 2 + [["a red ball spins"]] * 2
    assert video.caption == "a red ball rolls / a red ball spins"
    assert [step.index for step in steps] == [*range(1, 9)] and {s.steps for s in steps} == {8}
    assert len(sora.long(PROMPT, seconds=0.5, width=16, height=16, **FAST)) == 5


# ---- repeats, sizes, files ----


def test_the_provenance_names_the_operation_and_its_inputs(sora, clip, tmp_path):
    made = sora.generate("a ball", seed=1, width=48, height=32, frames=9, steps=1)
    made.save(tmp_path / "a.mp4", scale=2)
    with pytest.warns(UserWarning, match="a.mp4: 96x64 pixels became 48x32"):
        video = sora.connect(
            tmp_path / "a.mp4", clip, PROMPT, 4, width=48, height=32, negative="snow", **FAST
        )
    about = json.loads(json.dumps(video.provenance))
    assert (about["operation"], about["prompt"], about["seed"]) == ("connect", PROMPT, 3)
    assert (about["frames"], about["steps"], about["negative"]) == (4, 2, "snow")
    one, two = about["inputs"]
    assert one["name"] == "a.mp4" and "fitted" in one
    assert one["provenance"].items() >= made.provenance.items()
    assert two["name"] == "video" and two["provenance"]["caption"] == clip.caption
    assert about["model"] == sora.model and video.caption == PROMPT


def test_the_same_seed_gives_the_same_video_and_none_draws_one(sora, clip):
    options = dict(steps=1, guidance=1.0)
    one = sora.loop(clip, PROMPT, 4, **options)
    again = sora.loop(clip, PROMPT, 4, seed=one.provenance["seed"], **options)
    same(one, again)
    assert sora.loop(clip, PROMPT, 4, **options).provenance["seed"] != one.provenance["seed"]


def test_inputs_of_any_size_are_fitted(sora, tmp_path):
    Image.fromarray(film(1, height=101, width=99).image).save(tmp_path / "photo.jpg")
    with pytest.warns(UserWarning, match="99x99 of 99x101 pixels became 64x64"):
        video = sora.animate(tmp_path / "photo.jpg", PROMPT, frames=5, **FAST)
    assert video.frames.shape == (5, 64, 64, 3)


# ---- what is refused ----

THERE = np.arange(9) < 5


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda s, c: s.animate("none.png", PROMPT), ("none.png", "no such file")),
        (lambda s, c: s.animate(c.image, ""), ("prompt is empty",)),
        (lambda s, c: s.animate(c.image, PROMPT, frames=16), ("16 frames", "try 13 or 17")),
        (lambda s, c: s.animate(c.image, PROMPT, frames=1), ("5 to 4801 frames, not 1",)),
        (lambda s, c: s.animate(c.image, PROMPT, frames=10**6 + 1), ("not 1000001",)),
        (lambda s, c: s.animate(c.image, PROMPT, width=48), ("width and height come together",)),
        (lambda s, c: s.animate(c.image, PROMPT, width=50, height=32), ("width 50", "48 or 64")),
        (lambda s, c: s.animate(c.image, PROMPT, width=0, height=0), ("width 0", "try 16")),
        (lambda s, c: s.animate(c.image, PROMPT, steps=0), ("at least one step",)),
        (lambda s, c: s.animate(c.image, PROMPT, seed=-1), ("seed -1",)),
        (lambda s, c: s.extend(c.image, PROMPT), ("array has 1 of the 5 frames", "animate")),
        (lambda s, c: s.extend(c, PROMPT, "sideways"), ("'sideways'", "'backward'")),
        (lambda s, c: s.extend(c, PROMPT, frames=15), ("fours", "not 15")),
        (lambda s, c: s.extend(c, PROMPT, frames=0), ("from 4", "not 0")),
        (lambda s, c: s.extend(c, PROMPT, frames=4.0), ("fours", "4.0")),
        (lambda s, c: s.loop(c.frames[:4], PROMPT), ("4 of the 5 frames",)),
        (lambda s, c: s.loop(c, PROMPT, frames=7), ("fours", "not 7")),
        (
            lambda s, c: s.connect(c, film(9, height=48), PROMPT),
            ("differ in size", "48x32 and 48x48", "give width and height"),
        ),
        (lambda s, c: s.connect(c, c, PROMPT, frames=-4), ("fours", "not -4")),
        (lambda s, c: s.fill(c, THERE[:8], PROMPT), ("each of the 9 frames", "(8,)")),
        (lambda s, c: s.fill(c, THERE.astype(int), PROMPT), ("True or False", "int64")),
        (lambda s, c: s.fill(c.frames[:8], THERE[:8], PROMPT), ("8 frames", "try 5 or 9")),
        (lambda s, c: s.fill(c, "0-9", PROMPT), ("from 0 to 8, such as 0-8", "'0-9'")),
        (lambda s, c: s.fill(c, "1-0", PROMPT), ("from 0 to 8", "'1-0'")),
        (lambda s, c: s.fill(c, "first", PROMPT), ("from 0 to 8", "'first'")),
        (lambda s, c: s.fill(c, THERE | True, PROMPT), ("all frames are given",)),
        (
            lambda s, c: s.fill(c, np.arange(9) < 7, PROMPT),
            ("frames 5 to 8 are one latent frame", "all of them or none"),
        ),
        (lambda s, c: s.edit(c, PROMPT, 1.01), ("strength", "1.01")),
        (lambda s, c: s.edit(c, PROMPT, -0.1), ("strength", "-0.1")),
        (lambda s, c: s.edit(c, PROMPT, float("nan")), ("strength", "nan")),
        (lambda s, c: s.edit(c, PROMPT, "much"), ("strength", "'much'")),
        (lambda s, c: s.long([]), ("list of prompts is empty",)),
        (lambda s, c: s.long(["a ball", " "]), ("prompt is empty",)),
        (lambda s, c: s.long(PROMPT, 0), ("seconds", "0.5 to 600", "not 0")),
        (lambda s, c: s.long(PROMPT, 601), ("seconds", "601")),
        (lambda s, c: s.long(PROMPT, width=40), ("width 40", "try 32 or 48")),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(sora, clip, refuses, make, words):
    with refuses(*words):
        make(sora, clip)


def test_words_are_read_before_the_work(sora, clip, refuses, monkeypatch):
    monkeypatch.setattr(sora, "denoise", None)
    with refuses("prompt is empty"):
        sora.long(["a ball", " "], width=16, height=16)


def test_they_are_methods_with_their_documentation(sora):
    for name in ("animate", "extend", "loop", "connect", "fill", "edit", "long"):
        method = getattr(sora, name)
        assert method.__func__ is getattr(prompting, name) and "Args:" in method.__doc__
    assert isinstance(sora.long("a ball", 0.5, width=16, height=16, steps=1), Video)
