"""The assembled model: what is asked for comes out, can be made again, or is refused in a line."""

import json

import numpy as np
import pytest
import torch

import minisora
from minisora.dit import DiT, DiTConfig
from minisora.sora import Sora
from minisora.vae import VAE, VAEConfig
from minisora.video import Video, tensor_to_frames

PROMPT = "a red sphere bounces, the camera orbits left"
FAST = dict(width=48, height=32, frames=5, steps=3)
SMALLEST = dict(width=16, height=16, frames=1, steps=1)


def difference(one, two) -> float:
    return np.abs(one.frames.astype(float) - two.frames).mean()


# ---- the front door ----


def test_the_front_door(sora):
    assert isinstance(sora, minisora.Sora) and minisora.Sora is Sora
    assert minisora.Video is Video
    scene = minisora.world.sample_scene(seed=3, split="train")
    assert isinstance(minisora.world.render(scene, frames=1), Video)
    assert set(minisora.__all__) == {"Sora", "Video", "load", "world"}
    with pytest.raises(AttributeError, match="nothing"):
        minisora.nothing  # noqa: B018


def test_load_says_what_is_missing(tmp_path, weights, refuses):
    with refuses(str(tmp_path), "vae.safetensors", "minisora train vae"):
        minisora.load(tmp_path)
    (tmp_path / "vae.safetensors").write_bytes((weights / "vae.safetensors").read_bytes())
    with refuses("dit.safetensors", "minisora train dit"):
        minisora.load(tmp_path)
    with refuses("'gpu'"):
        minisora.load(weights, device="gpu")


def test_models_that_were_not_trained_together_are_refused(refuses):
    dit = DiT(DiTConfig(channels=8, width=16, depth=1, heads=2))
    with refuses("16 channels", "wants 8"):
        Sora(VAE(VAEConfig(width=8)), dit)


# ---- repeats ----


def test_the_same_seed_gives_the_same_video_and_another_one_another(sora):
    one, two, other = (sora.generate(PROMPT, seed=seed, **FAST) for seed in (3, 3, 4))
    assert one.frames.shape == (5, 32, 48, 3) and one.fps == 8.0
    np.testing.assert_array_equal(one.frames, two.frames)
    assert difference(one, other) > 1
    assert difference(one, sora.generate("a white cube stands still", seed=3, **FAST)) > 0


def test_without_a_seed_one_is_drawn_and_told(sora):
    one, two = (sora.generate(PROMPT, **FAST) for _ in range(2))
    assert one.provenance["seed"] != two.provenance["seed"]
    again = sora.generate(PROMPT, seed=one.provenance["seed"], **FAST)
    np.testing.assert_array_equal(again.frames, one.frames)


def test_video_i_of_a_list_is_that_of_seed_plus_i(sora):
    prompts = ["a ball", "a large blue cube spins on sand at night, the camera is still"]
    videos = sora.generate(prompts, seed=5, **FAST)
    for i, (video, prompt) in enumerate(zip(videos, prompts, strict=True)):
        alone = sora.generate(prompt, seed=5 + i, **FAST)
        assert difference(video, alone) < 1  # sums in another order round differently
        assert video.provenance == alone.provenance
    assert difference(*videos) > 1


def test_the_provenance_makes_the_video_again(sora, tmp_path):
    options = dict(FAST, guidance=1.5, solver="heun", negative="a blue cube")
    video = sora.generate("a “red” ball, 猫", seed=7, **options)
    about = video.provenance
    assert json.loads(json.dumps(about)) == about
    assert about["prompt"] == "a “red” ball, 猫" == video.caption
    assert about["model"] == sora.model and about["made_by"].startswith("minisora ")
    video.save(tmp_path / "a.mp4", scale=2)
    kept = dict(Video.load(tmp_path / "a.mp4").provenance)
    kept.pop("read_from", None)  # what the file itself adds
    assert kept == about | {"watermark": 1}
    for name in ("made_by", "model", "policy", "watermark"):
        kept.pop(name)
    np.testing.assert_array_equal(sora.generate(**kept).frames, video.frames)


def test_a_prompt_is_expanded_on_demand_and_the_provenance_tells(sora):
    prompt = "crimson orb hopping on a lawn"
    plain, made = (sora.generate(prompt, seed=3, expand=on, **FAST) for on in (False, True))
    text = sora.expand(prompt, seed=3).caption
    assert "expand" not in plain.provenance and made.provenance["expand"] == text
    assert made.caption == made.provenance["prompt"] == prompt and difference(plain, made) > 0
    for again in (
        sora.generate(text, seed=3, **FAST),
        sora.generate(prompt, seed=3, expand=text, **FAST),
    ):
        np.testing.assert_array_equal(again.frames, made.frames)
    made_by = ("made_by", "model", "policy")
    about = {k: v for k, v in made.provenance.items() if k not in made_by}
    np.testing.assert_array_equal(sora.generate(**about).frames, made.frames)
    both = sora.generate([prompt, PROMPT], seed=3, expand=True, **FAST)
    assert [video.provenance.get("expand") for video in both] == [text, None]
    with pytest.warns(UserWarning, match="not in this world: 'dog'"):
        sora.generate("a red ball and a dog", expand=True, **SMALLEST)


def test_only_what_a_clip_does_not_show_is_said_of_it(sora):
    clip = sora.generate(PROMPT, seed=0, **{**FAST, "steps": 1})
    made = sora.edit(clip, "turn it into a donut", expand=True, steps=1, seed=0)
    assert made.provenance["expand"] == "a ring" and made.caption == "turn it into a donut"


def test_without_a_captioner_it_is_told_how_to_make_one(sora, refuses, monkeypatch, tmp_path):
    monkeypatch.setattr("minisora.sora.SHIPPED", tmp_path)
    with refuses("no weights", f"minisora train captioner --out {sora.weights}"):
        sora.caption(np.zeros((5, 32, 32, 3), np.uint8))


def test_every_option_matters(sora):
    plain = sora.generate(PROMPT, seed=0, **FAST)
    for more in (dict(guidance=1.0), dict(solver="heun"), dict(negative=PROMPT), dict(steps=2)):
        assert difference(plain, sora.generate(PROMPT, seed=0, **{**FAST, **more})) > 0, more


def test_on_step_is_called_with_every_step(sora):
    steps = []
    sora.generate(PROMPT, on_step=steps.append, seed=0, **FAST)
    assert [step.index for step in steps] == [1, 2, 3]
    assert 1 > steps[0].tau > steps[1].tau > steps[2].tau == 0
    assert steps[0].z.shape == (1, 16, 2, 4, 6)


# ---- sizes ----


@pytest.mark.parametrize(("width", "height", "frames"), [(16, 16, 1), (16, 48, 1), (32, 16, 9)])
def test_any_size_that_fits(sora, width, height, frames):
    video = sora.generate("a ball", width=width, height=height, frames=frames, steps=1)
    assert video.frames.shape == (frames, height, width, 3)


def test_an_image_is_one_frame(sora):
    image = sora.image(PROMPT, seed=1, steps=2, width=32, height=48)
    assert image.frames.shape == (1, 48, 32, 3)
    both = sora.image(["a ball", "a cube"], steps=1, width=16, height=16)
    assert [len(video) for video in both] == [1, 1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(width=70), ("width 70", "16", "try 64 or 80")),
        (dict(height=70), ("height 70", "8", "try 64 or 72")),
        (dict(width=0), ("width 0", "try 16")),
        (dict(height=-64), ("height -64", "try 8")),
        (dict(frames=16), ("16 frames", "1+4k", "try 13 or 17")),
        (dict(frames=0), ("0 frames", "try 1")),
        (dict(frames=-3), ("-3 frames", "try 1")),
        (dict(frames=2), ("2 frames", "try 1 or 5")),
        (dict(width=4096, height=4096), ("17 frames of 4096x4096", "4096", "smaller or shorter")),
        (dict(frames=100001), ("100001 frames", "smaller or shorter")),
        (dict(steps=0), ("at least one step", "0")),
        (dict(steps=10**9), ("at most 1000",)),
        (dict(solver="rk4"), ("'rk4'", "adams, euler, heun")),
        (dict(guidance=float("nan")), ("guidance", "nan")),
        (dict(guidance=float("-inf")), ("guidance", "-inf")),
        (dict(width=64.0), ("whole numbers", "64.0")),
        (dict(frames="17"), ("whole numbers", "'17'")),
        (dict(width=16 * 10**400), ("over the limit", "smaller or shorter")),
        (dict(seed=-1), ("seed -1", "whole number from 0")),
        (dict(seed=2**70), ("seed", "whole number from 0")),
        (dict(seed="3"), ("seed '3'",)),
    ],
)
def test_what_does_not_fit_is_told_with_what_would(sora, refuses, options, words):
    with refuses(*words):
        sora.generate(PROMPT, **options)


@pytest.mark.parametrize("prompt", ["", " \n", [], ["a ball", ""], [3], "\u200b"])
def test_nothing_to_read_is_told(sora, refuses, prompt):
    with refuses("prompt"):
        sora.generate(prompt, **FAST)


def test_a_long_prompt_is_cut_with_a_warning(sora, tmp_path):
    prompt = ("a red ball and " * 700)[:10_000]
    with pytest.warns(UserWarning, match="cut off"):
        video = sora.generate(prompt, **SMALLEST)
    video.save(tmp_path / "a.mp4", scale=4)
    assert video.caption == prompt == Video.load(tmp_path / "a.mp4").caption


SCRIPTS = {
    "emoji": "🔴⚽ bounces",
    "cyrillic": "красный мяч",
    "japanese": "赤いボールが弾む",
    "arabic": "كرة حمراء",
    "control": "a\0red\x07 ball\x1b[31m\r\n",
    "surrogate": "\udcff a ball",  # an argument that was not UTF-8
}


@pytest.mark.parametrize("prompt", SCRIPTS.values(), ids=SCRIPTS)
def test_any_script_is_read_and_kept(sora, tmp_path, prompt):
    video = sora.generate(prompt, seed=0, **SMALLEST)
    video.save(tmp_path / "a.mp4", scale=4)
    told = prompt.encode("utf-8", "replace").decode()  # a lone surrogate: ?
    assert Video.load(tmp_path / "a.mp4").caption == told
    assert "<video" in video._repr_html_()


def test_numpys_numbers_are_numbers(sora):
    sizes = dict(width=np.int64(16), height=np.int32(16), frames=np.int64(1))
    video = sora.generate("a ball", steps=1, seed=np.int64(3), guidance=np.float32(2), **sizes)
    assert video.provenance["width"] == 16 and video.provenance["seed"] == 3


def test_it_computes_on_the_models_device(sora):
    assert sora.device == torch.device("cpu")


def test_frames_decoded_a_few_at_a_time_are_those_decoded_at_once(sora):
    z = torch.randn(2, 16, 11, 2, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = sora.vae.decoder(z * sora.vae.latent_std + sora.vae.latent_mean)
    frames = sora.decode(z)
    assert frames.shape == (2, 41, 16, 32, 3)
    assert np.abs(frames.astype(int) - tensor_to_frames(whole)).max() <= 1  # sums in another order
