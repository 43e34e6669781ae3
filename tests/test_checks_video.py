"""The checks of notebook 01: right answers pass, each usual mistake is told by name."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from einops import rearrange

from minisora.video import tensor_to_frames

sys.path.insert(0, str(Path(__file__).parent.parent / "notebooks"))
from checks import video as check  # noqa: E402


def turns(wheel, fps):
    return (wheel / fps - round(wheel / fps)) * fps


def levels(x):
    return (x + 1) * 127.5


def moved(x):
    return rearrange(x, "c t h w -> t h w c").numpy()


def counted(values):
    counts = np.unique(values, return_counts=True)[1]
    return counts / counts.sum()


RIGHT = [
    (check.to_pixels, tensor_to_frames),
    (check.to_pixels, lambda x: torch.from_numpy(tensor_to_frames(x))),
    (check.apparent_turns, turns),
    (check.apparent_turns, lambda w, fps: (w + fps / 2) % fps - fps / 2),
    (check.yt_slice, lambda frames, column: rearrange(frames[:, :, column], "t h c -> h t c")),
    (check.entropy, check.bits),
]
WRONG = [
    (check.to_pixels, lambda x: None, "return"),
    (check.to_pixels, lambda x: levels(x).clamp(0, 255).round().byte(), "channels still come"),
    (check.to_pixels, lambda x: moved(levels(x).clamp(0, 255).round()), "float32"),
    (check.to_pixels, lambda x: levels(x).round().byte().reshape(*x.shape[1:], 3), "reshape cuts"),
    (check.to_pixels, lambda x: moved(levels(x).clamp(0, 255).byte()), "one too low"),
    (check.to_pixels, lambda x: moved((x * 255).clamp(0, 255).round().byte()), "x is level"),
    (check.to_pixels, lambda x: moved((128 * x + 128).clamp(0, 255).round().byte()), "too high"),
    (check.to_pixels, lambda x: moved(levels(x).round().int().byte()), "clamp"),
    (check.apparent_turns, lambda w, fps: w % fps, "1/8 backwards"),
    (check.apparent_turns, lambda w, fps: turns(w, fps) / fps, "turns a frame"),
    (check.apparent_turns, lambda w, fps: abs(turns(w, fps)), "but backwards"),
    (check.apparent_turns, lambda w, fps: min(w, fps / 2), "it turns back"),
    (check.apparent_turns, lambda w, fps: w if w <= fps / 2 else w - fps, "should seem"),
    (check.yt_slice, lambda frames, column: frames[:, :, column], "time runs down"),
    (check.yt_slice, lambda frames, column: frames[:, column], "that is a row"),
    (check.yt_slice, lambda frames, column: frames[:, column].swapaxes(0, 1), "that is a row"),
    (check.yt_slice, lambda frames, column: frames[:, :, column, 0].T, "three axes"),
    (check.yt_slice, lambda frames, column: frames[:, ::-1, column].swapaxes(0, 1), "differ"),
    (check.entropy, lambda v: (counted(v) * np.log2(counted(v))).sum(), "turn its sign"),
    (check.entropy, lambda v: -(counted(v) * np.log(counted(v))).sum(), "in nats"),
    (check.entropy, lambda v: -(counted(v) * np.log2(counted(v))).mean(), "do not average"),
    (check.entropy, lambda v: check.bits(v) * np.size(v), "in all"),
    (check.entropy, lambda v: check.bits(np.bincount(np.ravel(v))[np.ravel(v)]), "not"),
    (check.entropy, lambda v: np.log2(len(np.unique(v))), "aaaabbcd"),
]


@pytest.mark.parametrize("judge, attempt", RIGHT)
def test_right_answers_pass(judge, attempt, capsys):
    assert judge(attempt) is True, capsys.readouterr().out


@pytest.mark.parametrize("judge, attempt, told", WRONG)
def test_usual_mistakes_are_told(judge, attempt, told, capsys):
    assert judge(attempt) is False
    assert told in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_levels_that_do_not_occur_are_left_out(capsys):
    def with_zeros(values):
        p = np.bincount(np.ravel(values) + 1, minlength=300) / np.size(values)
        return -(p * np.log2(p)).sum()

    assert check.entropy(with_zeros) is False
    assert "is not a number" in capsys.readouterr().out


def test_untried_is_neither():
    def stub(*_):
        raise NotImplementedError

    for judge in (check.to_pixels, check.apparent_turns, check.yt_slice, check.entropy):
        assert judge(stub) is None
