"""The checks of notebook 07: right answers pass, typical mistakes are named."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "notebooks"))
from checks import sampling as check  # noqa: E402

from minisora.sampler import guided, sample  # noqa: E402


def heun(f, z, now, then):
    first = f(z, now)
    return z + (then - now) * (first + f(z + (then - now) * first, then)) / 2


def times(steps, shift):
    even = torch.linspace(1, 0, steps + 1)
    return shift * even / (1 + (shift - 1) * even)


RIGHT = {
    check.heun_step: heun,
    check.times_of: times,
    check.guide: lambda a, b, g: a + g * (b - a),
}
WRONG = [
    (check.heun_step, lambda f, z, a, b: z + (b - a) * f(z, a), "Euler's step"),
    (check.heun_step, lambda f, z, a, b: 2 * heun(f, z, a, b) - z, "MEAN"),
    (check.heun_step, lambda f, z, a, b: 2 * z - heun(f, z, a, b), "wrong way"),
    (
        check.heun_step,
        lambda f, z, a, b: z + (b - a) * (f(z, a) + f(z, b)) / 2,
        "where Euler's step ends",
    ),
    (
        check.heun_step,
        lambda f, z, a, b: z + (b - a) * f(z + (b - a) / 2 * f(z, a), (a + b) / 2),
        "midpoint",
    ),
    (check.times_of, lambda n, s: s * times(n, 1) / 1 + (s - 1) * times(n, 1), "brackets"),
    (check.guide, lambda a, b, g: a + g * b, "DIFFERENCE"),
    (check.guide, lambda a, b, g: a + 3 * (b - a), "does g do anything"),
    (check.times_of, lambda n, s: times(n, s).flip(0), "τ falls"),
    (check.times_of, lambda n, s: times(n, 1), "does nothing"),
    (check.times_of, lambda n, s: times(n, 1 / s), "inverse"),
    (check.times_of, lambda n, s: times(n - 1, s), "ends"),
    (check.guide, lambda a, b, g: b + g * (b - a), "stronger"),
    (check.guide, lambda a, b, g: a - g * (b - a), "sign"),
    (check.guide, lambda a, b, g: g * b, "subtract"),
]


@pytest.mark.parametrize("exercise", RIGHT, ids=lambda e: e.__name__)
def test_right_answers_pass(exercise, capsys):
    assert exercise(RIGHT[exercise]) is True, capsys.readouterr().out


@pytest.mark.parametrize(("exercise", "attempt", "told"), WRONG)
def test_mistakes_are_named(exercise, attempt, told, capsys):
    assert exercise(attempt) is False
    assert told in capsys.readouterr().out


def field(z, tau, tokens, starts=None):
    return z * (1 + tau[:, None, :, None, None]) * tokens[:, :1, None, None, None]


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_the_package_agrees_with_the_checks(solver):
    z, one, null = torch.randn(2, 1, 1, 2, 2), torch.ones(2, 1).long(), torch.zeros(1, 1).long()
    options = dict(steps=3, guidance=2.0, solver=solver, shift=3.0)
    *_, last = sample(field, z, one, null, **options)

    def velocity(z, tau):
        tau = torch.full((2, 1), float(tau))
        pair = field(z, tau, null.expand(2, 1)), field(z, tau, one)
        torch.testing.assert_close(
            guided(field, z, tau, one, null, 2.0), RIGHT[check.guide](*pair, 2.0)
        )
        return RIGHT[check.guide](*pair, 2.0)

    ends = times(3, 3.0).tolist()
    for now, then in zip(ends, ends[1:], strict=False):
        last_step = solver == "euler" or then == 0
        z = z + (then - now) * velocity(z, now) if last_step else heun(velocity, z, now, then)
    torch.testing.assert_close(last.z, z)
