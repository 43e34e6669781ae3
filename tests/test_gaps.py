"""Gaps: which windows are made, what the model is given in each, what comes of given frames."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from minisora import gaps, world
from minisora.gaps import encode_given, fill_frames, head, lay, roll, soften, tail, windows


def spans(given):
    return [(here.start, here.stop) for here in windows([c == "1" for c in given])]


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("0", [(0, 1)]),
        ("000", [(0, 3)]),
        ("00000", [(0, 5)]),
        ("10000", [(0, 5)]),
        ("1111", []),
        ("111110000", [(4, 9)]),  # one given frame leads on
        ("000000000", [(0, 5), (4, 9)]),
        ("0" * 12, [(0, 5), (3, 8), (7, 12)]),  # two, as long as there is more to come
        ("110000000", [(0, 5), (4, 9)]),
        ("000001111", [(2, 7), (0, 5)]),  # backward
        ("000011111", [(0, 5)]),
        ("111000111", [(2, 7)]),  # both ends are seen
        ("1110111", [(0, 5)]),
        ("11100000111", [(1, 6), (4, 9)]),
        ("111" + "0" * 9 + "111", [(1, 6), (9, 14), (5, 10)]),  # from both sides in turn
        ("101010", [(0, 5), (1, 6)]),
    ],
)
def test_the_plan(given, made):
    assert spans(given) == made


def test_every_plan_makes_everything_once_beside_what_is_known():
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        t = int(torch.randint(1, 25, (), generator=generator))
        share = torch.rand((), generator=generator)
        given = (torch.rand(t, generator=generator) < share).tolist()
        done = list(given)
        for here in windows(given):
            assert 0 <= here.start < here.stop <= t and here.stop - here.start == min(t, 5)
            assert not all(done[here]) and (any(done[here]) or not any(done))
            done[here] = [True] * (here.stop - here.start)
        assert all(done)


def test_a_row_of_frames_and_gaps():
    a, b = (np.full((t, 4, 6, 3), t, np.uint8) for t in (1, 4))
    frames, given = lay(a, 4, b)
    assert frames.shape == (9, 4, 6, 3) and frames.dtype == np.uint8
    assert given.tolist() == [True] + [False] * 4 + [True] * 4
    assert frames[0, 0, 0, 0] == 1 and not frames[1:5].any() and (frames[5:] == 4).all()


@pytest.mark.parametrize(
    ("t", "first", "last"),
    [(1, 4, 1), (3, 4, 1), (4, 4, 1), (5, 4, 5), (17, 16, 17), (18, 16, 17), (40, 32, 33)],
)
def test_the_ends_of_a_clip_in_whole_groups(t, first, last):
    frames = np.arange(t, dtype=np.uint8).reshape(t, 1, 1, 1)
    begin, end = head(frames).ravel().tolist(), tail(frames).ravel().tolist()
    assert begin == [min(i, t - 1) for i in range(first)] and len(end) == last
    assert end == list(range(t - last, t))


def relative(a, b):
    return ((a - b).square().mean() / b.square().mean()).item()


def test_a_clip_encoded_alone_stands_in_for_a_slice(sora):
    frames = world.render(world.sample_scene(0), frames=33, height=32, width=48).frames[None]
    whole = sora.encode(frames)
    start = encode_given(sora, frames, [True] * 3 + [False] * 6)
    assert torch.equal(start[:, :, :3], sora.encode(frames[:, :9])) and not start[:, :, 3:].any()
    assert_close(start[:, :, :3], whole[:, :, :3], atol=1e-4, rtol=1e-4)
    end = encode_given(sora, frames, [False] * 5 + [True] * 4)
    assert end.shape == whole.shape and not end[:, :, :5].any()
    assert relative(end[:, :, 5:], whole[:, :, 5:]) < 0.05
    naive = sora.encode(frames[:, 17:30])  # its latents stand for other frames
    assert relative(naive, whole[:, :, 5:]) > 2 * relative(end[:, :, 5:], whole[:, :, 5:])
    hidden = frames.copy()
    hidden[:, 9:17] = 0  # nobody looks at what is not given
    runs = [True] * 3 + [False] * 2 + [True] * 4
    both = encode_given(sora, hidden, runs)
    assert torch.equal(both[:, :, :3], start[:, :, :3]) and torch.equal(
        both[:, :, 5:], end[:, :, 5:]
    )


class Recorder:
    """A `Sora` whose denoising writes down what it was given and returns 7."""

    def __init__(self):
        self.calls = []

    def denoise(self, noise, prompts, on_step, **options):
        from minisora.sampler import Step

        self.calls.append(dict(noise=noise, prompts=prompts, **options))
        for i in (1, 2):
            on_step(Step(i, 2, 0.0, noise, noise))
        return torch.full_like(noise, 7.0)


def test_rolling_gives_what_it_made_slightly_noised():
    recorder, steps = Recorder(), []
    z, noise = torch.randn(2, 16, 9, 2, 4), torch.randn(2, 16, 9, 2, 4)
    given = [True] + [False] * 8
    out = roll(recorder, z, noise, given, lambda i: [f"{i}"] * 2, on_step=steps.append, guidance=2)
    assert torch.equal(out[:, :, 0], z[:, :, 0]) and (out[:, :, 1:] == 7).all()
    one, two = recorder.calls
    assert one["guidance"] == 2 and one["begin"] == 1
    assert one["starts"].tolist() == [True] * 2 and two["starts"].tolist() == [False] * 2
    assert (one["prompts"], two["prompts"]) == (["1"] * 2, ["5"] * 2)
    assert one["given"].tolist() == [[True] + [False] * 4] * 2 == two["given"].tolist()
    assert not one["haze"].any() and torch.equal(one["known"][:, :, 0], z[:, :, 0])
    assert_close(two["haze"][0, 0].item(), gaps.HAZE)
    expected = (1 - gaps.HAZE) * 7 + gaps.HAZE * noise[:, :, 4]
    assert_close(two["known"][:, :, 0], expected)
    assert torch.equal(one["noise"][:, :, 1:], noise[:, :, 1:5])  # what z holds there is ignored
    assert [(step.index, step.steps) for step in steps] == [(i, 4) for i in (1, 2, 3, 4)]


def test_editing_begins_on_the_way():
    recorder = Recorder()
    z, noise = torch.randn(1, 16, 3, 2, 2), torch.randn(1, 16, 3, 2, 2)
    roll(recorder, z, noise, [False] * 3, lambda i: ["a"], begin=0.25)
    (call,) = recorder.calls
    assert call["begin"] == 0.25
    assert_close(call["noise"], 0.75 * z + 0.25 * noise)


FAST = dict(steps=2, guidance=1.0, solver="euler", negative=None)


def test_given_frames_come_back_and_fade_towards_a_seam(sora, monkeypatch):
    frames = world.render(world.sample_scene(1), frames=33, height=32, width=48).frames[None]
    given = np.arange(33) < 17
    made = fill_frames(sora, frames, given, lambda i: ["a ball"], 0, **FAST)
    np.testing.assert_array_equal(made[:, :13], frames[:, :13])
    alone = sora.decode(sora.encode(frames[:, :17])).astype(float)
    for i, share in ((13, 0.75), (14, 0.5), (15, 0.25), (16, 0.0)):
        expected = share * frames[:, i] + (1 - share) * alone[:, i]
        assert np.abs(made[:, i] - expected).max() <= 1.5
    with monkeypatch.context() as patch:
        patch.setattr(gaps, "soften", lambda frames, given: frames)
        hard = fill_frames(sora, frames, given, lambda i: ["a ball"], 0, **FAST)
    differ = (hard != made).any((0, 2, 3, 4))
    assert np.flatnonzero(differ).tolist() == [17, 18]
    other = frames.copy()
    other[:, 17:] = 0
    np.testing.assert_array_equal(
        fill_frames(sora, other, given, lambda i: ["a ball"], 0, **FAST), made
    )


def test_a_jump_across_a_seam_is_spread_over_what_was_made():
    even, given = np.arange(16.0)[None, :, None, None, None], np.arange(16) // 4 % 2 == 0
    assert_close(soften(even.copy(), given), even)  # nothing jumps
    jumping = even + 10 * ~given[:, None, None, None]
    soft = soften(jumping.copy(), given)[0, :, 0, 0, 0]
    assert soft.tolist() == [0, 1, 2, 3, 4, 10, 11, 7, 8, 9, 10, 11, 12, 18, 24, 25]
    alone = np.arange(16) == 0  # one picture is given: nothing is known of how it moves
    assert_close(soften(jumping.copy(), alone), jumping)


def test_several_at_once_are_what_they_are_alone(sora):
    clips = [world.render(world.sample_scene(i), frames=9, height=32, width=32) for i in (0, 1)]
    frames, given = np.stack([clip.frames for clip in clips]), np.arange(9) < 5
    prompts = ["a red ball", "a large blue cube spins"]
    both = fill_frames(sora, frames, given, lambda i: prompts, 5, **FAST)
    for i in (0, 1):
        one = fill_frames(
            sora, frames[i : i + 1], given, lambda _, i=i: prompts[i : i + 1], 5 + i, **FAST
        )
        assert np.abs(one[0].astype(int) - both[i]).mean() < 1
