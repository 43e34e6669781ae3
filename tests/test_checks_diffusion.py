"""The checks of notebook 05: right answers pass, typical mistakes are named."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "notebooks"))
from checks import diffusion as check  # noqa: E402

from minisora import flow, sampler  # noqa: E402


def latents(points):
    """Points `n d` as latents `b c t h w`."""
    return points[:, :, None, None, None]


def mix(z, noise, tau):
    return flow.add_noise(latents(z), latents(noise), tau[:, None])[:, :, 0, 0, 0]


def weights(x, tau, data):
    return (-((x[:, None] - (1 - tau) * data) / tau).square().sum(-1) / 2).softmax(1)


def mean_velocity(x, tau, data):
    return (x - weights(x, tau, data) @ data) / tau


def euler(field, x, steps):
    """The package's own sampler, walking along a field of points."""

    def model(z, tau, tokens, starts):
        return latents(field(z[:, :, 0, 0, 0], tau[0, 0].item()))

    options = dict(guidance=1, solver="euler", shift=1)
    *_, last = sampler.sample(model, latents(x), None, None, steps, **options)
    return last.z[:, :, 0, 0, 0]


def backward(field, x, steps):
    for tau in torch.linspace(0, 1, steps + 1)[:-1]:
        x = x - field(x, tau) / steps
    return x


def in_place(field, x, steps):
    for tau in torch.linspace(1, 0, steps + 1)[:-1]:
        x -= field(x, tau) / steps
    return x


def counting_down(field, x, steps):
    tau = 1.0
    while tau > 0:
        x, tau = x - field(x, tau) / steps, tau - 1 / steps
    return x


def tiny(x, tau, data):
    noise = (x[:, None] - (1 - tau) * data) / tau
    often = (-noise.square().sum(-1) / 2).exp()
    return ((often / (often.sum(1, keepdim=True) + 1e-8))[..., None] * (noise - data)).sum(1)


def lacking(x, tau, data):
    noise = (x[:, None] - data) / tau
    often = (-noise.square().sum(-1) / 2).softmax(1)
    return (often[..., None] * (noise - data)).sum(1)


def late(field, x, steps):
    for tau in torch.linspace(1, 0, steps + 1)[1:]:
        x = x - field(x, tau) / steps
    return x


def clean_and_noise(z_tau, v, tau):
    z, tau = flow.clean(latents(z_tau), latents(v), tau[:, None])[:, :, 0, 0, 0], tau[:, None]
    return z, z_tau + (1 - tau) * v


RIGHT = {
    check.mix: mix,
    check.mean_velocity: mean_velocity,
    check.euler: euler,
    check.clean_and_noise: clean_and_noise,
}
WRONG = [
    (check.mix, lambda z, e, t: mix(e, z, t), "other way round"),
    (check.mix, lambda z, e, t: (1 - t) * z + t * e, "for each point"),
    (check.mix, lambda z, e, t: z + t[:, None] * e, "without taking"),
    (check.mix, lambda z, e, t: mix(z, e, t[:1].expand(len(z))), "have the first"),
    (check.mix, lambda z, e, t: z + t[:, None] * (z - e), "the velocity is"),
    (check.mean_velocity, lambda x, t, d: -mean_velocity(x, t, d), "turned round"),
    (check.mean_velocity, lambda x, t, d: (x - d.mean(0)) / t, "count alike"),
    (check.mean_velocity, lambda x, t, d: weights(x, t, d) @ d, "mean of the clean"),
    (
        check.mean_velocity,
        lambda x, t, d: (x - (-torch.cdist(x, d).square() / 2 / t**2).softmax(1) @ d) / t,
        "left out 1−τ",
    ),
    (
        check.mean_velocity,
        lambda x, t, d: (x - (-torch.cdist(x, (1 - t) * d).square() / 2).softmax(1) @ d) / t,
        "did not divide",
    ),
    (
        check.mean_velocity,
        lambda x, t, d: (
            (
                x
                - torch.nn.functional.normalize(
                    (-(torch.cdist(x, (1 - t) * d) / t).square() / 2).exp(), p=1, dim=1, eps=0
                )
                @ d
            )
            / t
        ),
        "nan",
    ),
    (check.mean_velocity, lambda x, t, d: tiny(x, t, d), "a tiny 1e-8"),
    (check.mean_velocity, lambda x, t, d: lacking(x, t, d), "yours lacks 1−τ"),
    (check.euler, lambda f, x, n: euler(lambda x, tau: -f(x, tau), x, n), "subtract"),
    (check.euler, counting_down, "count steps"),
    (check.euler, lambda f, x, n: x - sum(f(x, 1 - k / n) for k in range(n)) / n, "you are now"),
    (check.euler, backward, "start at τ = 0"),
    (check.euler, in_place, "works in place"),
    (check.euler, late, "where the step ends"),
    (check.euler, lambda f, x, n: euler(f, x, 2 * n), "asked 8"),
    (check.euler, lambda f, x, n: x, "never asks"),
    (check.clean_and_noise, lambda z, v, t: clean_and_noise(z, v, t)[::-1], "swapped"),
    (check.clean_and_noise, lambda z, v, t: clean_and_noise(z, -v, t), "against the velocity"),
    (check.clean_and_noise, lambda z, v, t: (clean_and_noise(z, v, t)[0], z + v), "CLEAN z"),
    (check.clean_and_noise, lambda z, v, t: (z - v, z), "whole walk"),
    (
        check.clean_and_noise,
        lambda z, v, t: ((z - t[:, None] * v) / (1 - t[:, None]), z),
        "nothing to divide by",
    ),
    (check.clean_and_noise, lambda z, v, t: clean_and_noise(z, v, t)[0], "two things"),
]


@pytest.mark.parametrize("name", [c.__name__ for c in RIGHT])
def test_a_right_answer_passes(name, capsys):
    checker = getattr(check, name)
    assert checker(RIGHT[checker]) is True, capsys.readouterr().out


@pytest.mark.parametrize(("checker", "attempt", "words"), WRONG)
def test_a_typical_mistake_is_named(checker, attempt, words, capsys):
    assert checker(attempt) is False
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("name", [c.__name__ for c in RIGHT])
def test_a_missing_return_is_told(name, capsys):
    assert getattr(check, name)(lambda *inputs: None) is False
    assert "return" in capsys.readouterr().out


def test_the_digits_are_what_the_readme_says():
    path = Path(__file__).parent.parent / "data" / "digits.npz"
    digits = np.load(path)
    assert path.stat().st_size <= 60_000
    assert digits["pictures"].shape == (1797, 8, 8) and digits["pictures"].dtype == np.uint8
    assert digits["pictures"].max() == 16 and sorted(set(digits["labels"])) == list(range(10))
