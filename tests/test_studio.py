"""The studio: clicks make videos, one at a time, and whatever goes wrong is one red line."""

import inspect
import threading

import pytest

from minisora import cli, prompting
from minisora.credentials import told
from minisora.sampler import sample
from minisora.sora import Sora
from minisora.studio import EXAMPLES, LENGTHS, SIZES, Studio
from minisora.text import WORDS, split
from minisora.video import Video

FAST = {"size": (48, 80), "frames": 5, "steps": 3, "guidance": 2.5, "solver": "heun", "seed": 7}


@pytest.fixture
def studio(sora, tmp_path):
    studio = Studio(sora, folder=tmp_path)
    for name, value in FAST.items():
        studio.knobs[name].value = value
    return studio


def done(studio):
    """Wait until the thread that makes a video has let go."""
    assert studio.lock.acquire(timeout=120)
    studio.lock.release()
    return studio


def wrong(studio) -> bool:
    return "error-color" in studio.line.value


def test_a_click_makes_a_video_as_set(studio, sora):
    studio.knobs["negative"].value = "a blue cube"
    studio.maker.click()
    video = done(studio).made[0]
    again = sora.generate(**studio.settings())
    assert (video.frames == again.frames).all() and video.provenance == again.provenance
    assert video.provenance["prompt"] == EXAMPLES[0] and len(studio.gallery.children) == 1
    assert studio.screen.children == (studio.playing,) and "<video" in studio.playing.value
    assert "a blue cube" in studio.about.value and "made in" in studio.line.value
    assert not studio.maker.disabled and studio.stopper.disabled and not studio.saver.disabled


def test_it_begins_as_the_commands_the_methods_and_the_sampler_do(sora):
    """Steps, guidance and solver stand in five places, as commands must not import torch."""
    words = vars(cli.build_parser().parse_args(["generate", "a ball"]))
    knobs = {name: knob.value for name, knob in Studio(sora).knobs.items()}
    for name in ("steps", "guidance", "solver"):
        calls = [inspect.signature(f).parameters[name].default for f in (sample, Sora.generate)]
        assert {*calls, prompting.DEFAULTS[name], words[name], knobs[name]} == {calls[0]}


def test_every_choice_of_the_menus_is_one_that_the_model_takes(sora):
    for _, (width, height) in SIZES:
        for _, frames in LENGTHS:
            sora.check_size(width, height, frames)


def test_while_one_is_made_no_second_begins_and_it_can_be_stopped(studio, monkeypatch):
    begun, go_on, watch = threading.Event(), threading.Event(), studio.watch

    def slow(step):
        watch(step)
        begun.set()
        go_on.wait(60)

    monkeypatch.setattr(studio, "watch", slow)
    studio.maker.click()
    assert begun.wait(60)
    assert studio.screen.children == (studio.growing,)
    assert bytes(studio.growing.value).startswith(b"\x89PNG")
    assert studio.maker.disabled and not studio.stopper.disabled
    studio.make()  # a click that came too late to be refused by the button
    studio.stopper.click()
    go_on.set()
    assert done(studio).made == [] and "stopped after 2 of 3" in studio.line.value
    assert not wrong(studio) and studio.saver.disabled
    monkeypatch.undo()
    studio.maker.click()
    assert len(done(studio).made) == 1


@pytest.mark.parametrize("prompt", ["", " \n"])
def test_an_empty_prompt_is_one_red_line(studio, prompt):
    studio.prompt.value = prompt
    studio.maker.click()
    assert wrong(done(studio)) and "the prompt is empty" in studio.line.value
    assert studio.made == [] and not studio.maker.disabled


def test_whatever_else_goes_wrong_is_one_red_line(studio, monkeypatch):
    def fail(**_):
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(studio.sora, "generate", fail)
    studio.maker.click()
    assert wrong(done(studio)) and "out of memory" in studio.line.value


def test_a_long_prompt_is_made_with_a_warning(studio):
    studio.prompt.value, studio.knobs["expand"].value = "a red ball and " * 30, False
    studio.maker.click()
    assert "cut off" in done(studio).line.value and len(studio.made) == 1


def test_again_brings_everything_back_and_another_take_is_the_next_seed(sora):
    options = dict(width=32, height=48, frames=1, steps=2, guidance=1.5, solver="heun", seed=41)
    first = sora.generate("a ring", negative="a cone", **options)
    studio = Studio(sora, [first, sora.generate("a ball", **options)])
    studio.gallery.children[1].children[1].click()  # the newest is first
    assert studio.shown is first
    about = {"prompt": "a ring", "negative": "a cone", "expand": False}
    assert studio.settings() == {**about, **options}
    studio.retaker.click()
    assert done(studio).made[-1].provenance == {**first.provenance, "seed": 42}


def test_a_short_prompt_is_expanded_and_the_reading_shown(studio):
    studio.prompt.value = "a crimson donut"
    studio.maker.click()
    read = done(studio).made[-1].provenance["expand"]
    assert "red ring" in read and f"read as: {read}" in studio.line.value


def test_saving_says_where_or_why_not(studio, tmp_path):
    studio.prompt.value = "a “red” ball / 猫"
    studio.maker.click()
    done(studio).saver.click()
    [path] = tmp_path.iterdir()
    assert str(path) in studio.line.value and path.name.startswith("a-red-ball-")
    assert told(Video.load(path).provenance) == studio.made[0].provenance | {"watermark": 1}
    studio.folder = tmp_path / "missing"
    studio.saver.click()
    assert wrong(studio) and "there is no folder" in studio.line.value


def test_words_that_it_never_learnt_are_told(studio):
    studio.prompt.value = "a dragon eats a RED car, a dragon!"
    assert studio.note.value.endswith("dragon, eats, car</small>")
    studio.prompt.value = EXAMPLES[1]
    assert studio.note.value == ""


def test_the_buttons_above_fill_the_prompt(studio):
    *examples, surprise = studio.children[2].children
    for chip, text in zip(examples, EXAMPLES, strict=True):
        chip.click()
        assert studio.prompt.value == text
    surprise.click()
    assert studio.prompt.value not in EXAMPLES
    assert set(split(studio.prompt.value)) <= WORDS.keys()


def test_html_in_a_prompt_stays_text(studio):
    studio.prompt.value = "<img src=x onerror=alert(1)>"
    studio.maker.click()
    done(studio)
    shown = studio.about.value + studio.note.value + studio.line.value + studio.playing.value
    assert "<img" not in shown and "&lt;img" in studio.about.value


def test_the_gallery_holds_the_last_twelve(studio, sora):
    video = sora.generate("a ball", frames=1, width=16, height=16, steps=1)
    for _ in range(13):
        studio.keep(video)
    assert len(studio.gallery.children) == 12 and len(studio.made) == 13
