"""The checks of notebook 08: right answers pass, typical mistakes are named."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "notebooks"))
from checks import prompting as check  # noqa: E402

from minisora import gaps  # noqa: E402
from minisora.flow import add_noise  # noqa: E402


def away(given):
    return np.abs(np.arange(len(given))[:, None] - np.flatnonzero(~given)).min(1)


def fade(given, length=4):
    return np.clip((away(given) - 1) / length, 0, 1)


def one_sided(given, length=4):
    last = np.flatnonzero(~given).max()
    return np.where(np.arange(len(given)) <= last, fade(given, length), 1.0)


def one_gap(given, length=4):
    made = np.flatnonzero(~given)
    away_ = np.maximum(made.min() - np.arange(len(given)), np.arange(len(given)) - made.max())
    return np.clip((away_ - 1) / length, 0, 1)


RIGHT = {
    check.tau_of: lambda given, tau: tau * (~given).float(),
    check.fade_weights: fade,
    check.start_point: lambda z, noise, s: add_noise(
        z[:, None, :, None, None], noise[:, None, :, None, None], torch.full((1, 2), s)
    )[:, 0, :, 0, 0],
}
WRONG = [
    (check.tau_of, lambda given, tau: tau * given.float(), "turned round"),
    (check.tau_of, lambda given, tau: torch.full(given.shape, tau), "one τ for all"),
    (check.tau_of, lambda given, tau: (~given).float(), "at `tau` now"),
    (check.tau_of, lambda given, tau: (~given).long(), "make it float"),
    (check.tau_of, lambda given, tau: tau, "not float"),
    (check.fade_weights, lambda g, n=4: g.astype(float), "hard splice"),
    (check.fade_weights, lambda g, n=4: np.clip(away(g) / n, 0, 1), "subtract 1"),
    (check.fade_weights, lambda g, n=4: (away(g) - 1) / n, "clip them"),
    (check.fade_weights, one_sided, "two sides"),
    (check.fade_weights, one_gap, "TWO gaps"),
    (check.fade_weights, lambda g, n=4: 1 - fade(g, n), "turned round"),
    (check.fade_weights, lambda g, n=4: fade(g, 4), "fade=2"),
    (check.start_point, lambda z, e, s: s * z + (1 - s) * e, "turned round"),
    (check.start_point, lambda z, e, s: z + s * e, "weaker"),
    (check.start_point, lambda z, e, s: (1 - s**2) ** 0.5 * z + s * e, "variance"),
    (check.start_point, lambda z, e, s: (1 - s) * z, "where is the noise"),
]


@pytest.mark.parametrize("exercise", RIGHT, ids=lambda e: e.__name__)
def test_right_answers_pass(exercise, capsys):
    assert exercise(RIGHT[exercise]) is True, capsys.readouterr().out


@pytest.mark.parametrize(("exercise", "attempt", "told"), WRONG)
def test_mistakes_are_named(exercise, attempt, told, capsys):
    assert exercise(attempt) is False
    assert told in capsys.readouterr().out


def test_the_package_fades_by_these_weights():
    class Grey:
        """A `Sora` whose every video is black."""

        def draw_noise(self, b, w, h, t, seed):
            return torch.zeros(b, 1, (t + 3) // 4, 1, 1)

        encode_given = staticmethod(lambda sora, frames, groups: sora.draw_noise(1, 8, 8, 33, 0))

        def decode(self, z):
            return np.zeros((1, 33, 8, 8, 3))

    given = np.repeat([True] * 4 + [False, False] + [True] * 3, [1] + [4] * 8)
    frames = np.full((1, 33, 8, 8, 3), 100, np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaps, "encode_given", Grey.encode_given)
        patch.setattr(gaps, "roll", lambda sora, z, *rest, **more: z)
        made = gaps.fill_frames(Grey(), frames, given, lambda i: ["a ball"], 0)
    np.testing.assert_allclose(made[0, :, 0, 0, 0], 100 * RIGHT[check.fade_weights](given))
