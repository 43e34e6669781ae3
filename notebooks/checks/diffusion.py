"""Checks of notebook 05: the path, the mean velocity, Euler's walk, three ways to say one thing."""

from __future__ import annotations

import torch

from checks import exercise, same


def _normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _unlike(got, wrong: dict[str, torch.Tensor], tolerance: float = 1e-4) -> None:
    """Assert that an answer is none of the mistakes, each named by what explains it."""
    assert got is not None, "your function returned None; is there a `return`?"
    for why, mistake in wrong.items():
        alike = isinstance(got, torch.Tensor) and got.shape == mistake.shape
        assert not alike or float((got - mistake).abs().max()) > tolerance, why


@exercise("data at τ = 0, noise at τ = 1, and each point with a time of its own")
def mix(attempt) -> None:
    """The path: points and noise `n d`, τ `n`, to z_τ `n d`."""
    z, noise, tau = _normal(2, 2), _normal(2, 2, seed=1), torch.tensor([0.2, 0.7])
    each = tau[:, None]
    wrong = {
        "the other way round: here τ = 0 is data and τ = 1 is noise, so it is (1−τ)·z + τ·ε": each
        * z
        + (1 - each) * noise,
        "τ has one number for each point (row), yours went along the columns: tau[:, None]": (
            1 - tau
        )
        * z
        + tau * noise,
        "you add noise without taking data away: z is multiplied by 1−τ": z + each * noise,
        "that is √(1−τ)·z + √τ·ε, a curved path of older diffusion models; ours is straight": (
            1 - each
        ).sqrt()
        * z
        + each.sqrt() * noise,
        "that is the velocity; asked for is where the point is at τ": noise - z,
        "the velocity is ε − z, so it is z + τ·(ε − z)": z + each * (z - noise),
        "each point has a τ of its own; yours all have the first": (1 - tau[0]) * z
        + tau[0] * noise,
        "the other way round, and τ should go along the rows: tau[:, None]": tau * z
        + (1 - tau) * noise,
    }
    got = attempt(z.clone(), noise.clone(), tau)
    _unlike(got, wrong)
    same(got, (1 - each) * z + each * noise, "two points")
    z, noise, tau = _normal(5, 3), _normal(5, 3, seed=1), torch.linspace(0, 1, 5)
    each = tau[:, None]
    same(attempt(z, noise, tau), (1 - each) * z + each * noise, "five points in three dimensions")


@exercise("the average over all the lines that pass here: what a perfect network would say")
def mean_velocity(attempt) -> None:
    """The exact mean field of a small data set: x `m d`, a number τ, data `n d`, to `m d`."""
    x, data, tau = _normal(4, 2), _normal(4, 2, seed=1) + 0.3, 0.6
    noise = (x[:, None] - (1 - tau) * data) / tau  # m n d
    scores = -noise.square().sum(-1) / 2
    weights = scores.softmax(1)
    want = (x - weights @ data) / tau

    def by(weights: torch.Tensor) -> torch.Tensor:
        return (x - weights @ data) / tau

    def long(weights: torch.Tensor, noise: torch.Tensor = noise) -> torch.Tensor:
        return (weights[..., None] * (noise - data)).sum(1)  # where the noise itself is wrong

    def soft(noise: torch.Tensor) -> torch.Tensor:
        return (-noise.square().sum(-1) / 2).softmax(1)

    left_out, undivided = (x[:, None] - data) / tau, x[:, None] - (1 - tau) * data
    far = (x[:, None] - data).square().sum(-1)
    wrong = {
        "the sign is turned round: the velocity is ε − z, it points towards the noise": -want,
        "all data count alike in yours: weigh them by how likely the noise is that each needs": by(
            torch.full((4, 4), 0.25)
        ),
        "that is the mean of the clean points; the velocity is the mean of ε − z": weights @ data,
        "that is the mean of the noise; the velocity is the mean of ε − z": (
            weights[..., None] * noise
        ).sum(1),
        "the noise that leads from z to x is (x − (1−τ)·z) / τ: you left out 1−τ, or "
        "weighed by the velocity instead of the noise": by((-far / (2 * tau**2)).softmax(1)),
        "the noise that leads from z to x is (x − (1−τ)·z) / τ; yours lacks 1−τ": long(
            soft(left_out), left_out
        ),
        "the noise that leads from z to x is (x − (1−τ)·z) / τ; yours lacks / τ": long(
            soft(undivided), undivided
        ),
        "small noise is likelier than large: the exponent is negative": by((-scores).softmax(1)),
        "sum ε² over the dimensions, do not average": by((scores / 2).softmax(1)),
        "one weight for each datum: sum ε² over the dimensions first": (
            (-noise.square() / 2).softmax(1) * (noise - data)
        ).sum(1),
        "the noise that leads from z to x is (x − (1−τ)·z) / τ: you did not divide by τ": by(
            (scores * tau**2).softmax(1)
        ),
        "the density of noise is exp(−|ε|²/2): yours lacks the half": by((2 * scores).softmax(1)),
        "the density of noise is exp(−|ε|²/2): yours lacks the square": by(
            (-noise.norm(dim=-1) / 2).softmax(1)
        ),
        "the weights should sum to 1 over the data (dim 1), not over the places": by(
            scores.softmax(0)
        ),
        "divide the weights by their sum": (scores.exp()[..., None] * (noise - data[None])).sum(1),
    }
    got = attempt(x, tau, data)
    _unlike(got, wrong)
    same(got, want, "four places and four data")
    x, data = _normal(3, 5), _normal(7, 5, seed=1)
    weights = (-((x[:, None] - 0.2 * data) / 0.8).square().sum(-1) / 2).softmax(1)
    same(attempt(x, 0.8, data), (x - weights @ data) / 0.8, "three places, seven data, τ = 0.8")
    near = attempt(data + 1, 0.01, data)
    assert torch.isfinite(near).all(), (
        "close to τ = 0 yours is nan: exp of a large negative number is 0, and 0 / 0 follows; "
        "softmax subtracts the largest first"
    )
    needs = (data[:, None] + 1 - 0.99 * data) / 0.01
    weights = (-needs.square().sum(-1) / 2).softmax(1)
    want = (data + 1 - weights @ data) / 0.01
    same(near, want, "close to τ = 0 (take softmax, not a tiny 1e-8)", 1e-2)


@exercise("from noise to data in equal steps")
def euler(attempt) -> None:
    """Euler's walk from τ = 1 to τ = 0 along `field(x, tau)`."""
    start = _normal(3, 2)
    asked = []

    def field(x: torch.Tensor, tau) -> torch.Tensor:
        asked.append(float(tau))
        return x * (1 + tau) + tau  # leans on x and on τ

    def walk(x: torch.Tensor, times: list[float], step: float) -> torch.Tensor:
        for tau in times:
            x = x + step * (x * (1 + tau) + tau)
        return x

    kept = start.clone()
    got = attempt(field, start, 4)
    assert got is not None, "your function returned None; is there a `return`?"
    assert torch.equal(start, kept), (
        "your function changed the noise that it was given (x -= … works in place): write x = x − …"
    )
    assert asked, "your function never asks the field"
    there = [1.0, 0.75, 0.5, 0.25]
    wrong = {
        "the velocity points from data to noise, and you walk back: subtract it": walk(
            start, there, 0.25
        ),
        "the walk begins at τ = 1, where the noise is, and goes down to 0": walk(
            start, there[::-1], -0.25
        ),
        "you start at τ = 0 and go up: the noise is at τ = 1": walk(
            start, [0.0, 0.25, 0.5, 0.75], -0.25
        ),
        "ask the field where you are, at τ = 1, ¾, ½, ¼; yours asks where the step ends": walk(
            start, [0.75, 0.5, 0.25, 0.0], -0.25
        ),
        "each step has the length 1/steps; yours takes whole ones": walk(start, there, -1.0),
        "a step is missing: steps of them, the last from τ = 1/steps to 0": walk(
            start, there[:-1], -0.25
        ),
        "linspace(1, 0, steps) has one interval too few: steps + 1 times": walk(
            start, [1.0, 2 / 3, 1 / 3], -1 / 3
        ),
        "you also took a step from τ = 0 on: five steps instead of four": walk(
            start, [*there, 0.0], -0.25
        ),
        "linspace(1, 0, steps) has one interval too few: take steps + 1, drop the last": walk(
            start, [1.0, 2 / 3, 1 / 3, 0.0], -0.25
        ),
        "both the sign and the time are turned round": walk(start, there[::-1], 0.25),
        "ask the field at each new τ, not always at 1": walk(start, [1.0] * 4, -0.25),
        "ask the field where you are now, not always at the start": start
        - 0.25 * sum(start * (1 + tau) + tau for tau in there),
    }
    _unlike(got, wrong)
    assert len(asked) == 4, f"four steps should ask the field 4 times, yours asked {len(asked)}"
    same(got, walk(start, there, -0.25), "four steps")
    same(attempt(field, start, 1), walk(start, [1.0], -1.0), "one step")
    asked.clear()
    attempt(field, start, 10)
    assert len(asked) == 10, (
        f"ten steps asked the field {len(asked)} times: ten times 0.1 is not quite 1, count steps"
    )


@exercise("one of the three tells the other two")
def clean_and_noise(attempt) -> None:
    """From z_τ and the velocity to the clean clip and the noise, all `n d`, with τ `n`."""
    z, noise = _normal(3, 3), _normal(3, 3, seed=1)
    each = torch.tensor([0.2, 0.5, 0.9])[:, None]
    z_tau, v = (1 - each) * z + each * noise, noise - z
    got = attempt(z_tau, v, each[:, 0])
    assert got is not None, "your function returned None; is there a `return`?"
    assert isinstance(got, (tuple, list)) and len(got) == 2, "return two things: clean, noise"
    first, second = got
    _unlike(
        first,
        {
            "the two are swapped: the clean one first, then the noise": noise,
            "clean: from z_τ to τ = 0 you walk against the velocity: minus τ·v": z_tau + each * v,
            "clean: the way from z_τ to τ = 0 is τ long, not 1−τ": z_tau - (1 - each) * v,
            "clean: minus v is a whole walk; from z_τ only τ of it is left": z_tau - v,
            "clean: with ε = z + v, (1−τ)z + τz is one whole z: nothing to divide by": (
                z_tau - each * v
            )
            / (1 - each),
        },
    )
    _unlike(
        second,
        {
            "noise: from z_τ to τ = 1 you walk along the velocity: plus (1−τ)·v": z_tau
            - (1 - each) * v,
            "noise: the way from z_τ to τ = 1 is 1−τ long, not τ": z_tau + each * v,
            "noise: v is ε − z, so ε is z + v with the CLEAN z, not with z_τ": z_tau + v,
        },
    )
    same(first, z, "the clean one: does each row have its own τ (tau[:, None])?")
    same(second, noise, "the noise: does each row have its own τ (tau[:, None])?")
