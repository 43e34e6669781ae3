"""The solvers and guidance, on velocity fields whose answer is known."""

import math

import pytest
import torch
from torch.testing import assert_close

from minisora.flow import per_frame
from minisora.sampler import SOLVERS, guided, sample

SHAPE = (2, 7, 3, 4, 5)  # b c t h w
TOKENS, NULL = torch.tensor([[5, 6, 7], [8, 9, 0]]), torch.tensor([[1]])


def randn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


NOISE, TARGET = randn(*SHAPE), randn(*SHAPE, seed=1)


def oracle(z, tau, tokens, starts):
    """The true velocity towards TARGET, from wherever z is."""
    return (z - TARGET[: len(z)]) / per_frame(tau).clamp_min(1e-9)


def growth(z, tau, tokens, starts):
    """A curved path: dz/dτ = z, so that z(0) = z(1) / e."""
    return z


def walk(model, **options):
    """All steps of Euler's, without guidance and shift unless they are asked for."""
    plain = dict(guidance=1, shift=1, solver="euler")
    return list(sample(model, NOISE, TOKENS, NULL, **plain | options))


# ---- solvers ----


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("steps", [1, 7])
@pytest.mark.parametrize("shift", [1, 3])
def test_a_straight_path_is_walked_exactly(solver, steps, shift):
    walked = walk(oracle, steps=steps, solver=solver, shift=shift)
    assert len(walked) == steps
    assert_close(walked[-1].z, TARGET)
    for step in walked:
        assert_close(step.guess, TARGET)  # seen from the first step on
        assert_close(step.z, (1 - step.tau) * TARGET + step.tau * NOISE)


@pytest.mark.parametrize("shift", [1, 3])
def test_steps_say_where_they_are(shift):
    walked = walk(growth, steps=4, shift=shift)
    assert [(step.index, step.steps) for step in walked] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    even = [0.75, 0.5, 0.25, 0]
    expected = [shift * tau / (1 + (shift - 1) * tau) for tau in even]
    assert [step.tau for step in walked] == pytest.approx(expected)
    assert walked[-1].tau == 0


def error(steps, solver):
    walked = walk(growth, steps=steps, solver=solver)
    return (walked[-1].z - NOISE / math.e).abs().max().item()


@pytest.mark.parametrize(("better", "times"), [("heun", 4), ("adams", 2.5)])
def test_two_solvers_err_less_and_gain_more_from_more_steps(better, times):
    euler, second = ([error(n, solver) for n in (8, 16, 32)] for solver in ("euler", better))
    for i in range(3):
        assert second[i] < euler[i] / times
    for i in range(2):
        assert 1.7 < euler[i] / euler[i + 1] < 2.3  # half the step, half the error
        assert 3 < second[i] / second[i + 1] < 5  # half the step, a quarter


def test_adams_takes_three_halves_of_the_last_velocity_and_minus_half_of_the_one_before():
    first, second = walk(growth, steps=2, solver="adams")
    assert_close(first.z, NOISE / 2)
    assert_close(second.z, NOISE / 2 - (1.5 * NOISE / 2 - 0.5 * NOISE) / 2)


def test_adams_leaps_as_euler_does():
    adams, euler = (walk(growth, steps=2, solver=name, shift=3) for name in ("adams", "euler"))
    assert_close(adams[-1].z, euler[-1].z)  # from 0.75 to 0, after 1 to 0.75


def test_adams_does_not_remember_into_a_step_half_as_long_again():
    walked = walk(growth, steps=8, solver="adams", shift=3)  # 0.3 to 0, after 0.5 to 0.3
    assert_close(walked[-1].z, walked[-2].z * (1 - walked[-2].tau))
    assert (walked[-2].z - walked[-3].z * (walked[-2].tau - walked[-3].tau + 1)).abs().max() > 1e-3


@pytest.mark.parametrize(("guidance", "same"), [(4, False), (4.1, True), (-0.1, True)])
def test_adams_forgets_where_guidance_is_strong(guidance, same):
    adams, euler = (walk(growth, solver=s, guidance=guidance) for s in ("adams", "euler"))
    assert torch.equal(adams[-1].z, euler[-1].z) == same


@pytest.mark.parametrize(("solver", "calls"), [("euler", 5), ("heun", 9), ("adams", 5)])
@pytest.mark.parametrize("guidance", [1, 3])
def test_what_it_costs(solver, calls, guidance):
    sizes = []

    def model(z, tau, tokens, starts):
        sizes.append(len(z))
        return z

    walk(model, steps=5, solver=solver, guidance=guidance)
    assert sizes == [2 if guidance == 1 else 4] * calls


def test_the_model_is_told_the_time():
    times = []

    def model(z, tau, tokens, starts):
        times.append(tau[0, 0].item())
        assert tau.shape == (2, 3) and torch.all(tau == tau[0, 0])
        return z

    walk(model, steps=4)
    assert times == [1, 0.75, 0.5, 0.25]


def test_nothing_is_remembered_for_gradients_and_the_caller_keeps_their_own():
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    for step in sample(lambda z, *_: weight * z, NOISE, TOKENS, NULL, steps=2, guidance=1):
        assert not step.z.requires_grad and torch.is_grad_enabled()


# ---- given frames ----

GIVEN = torch.tensor([[True, False, False], [False, True, True]])


@pytest.mark.parametrize("solver", ["euler", "heun"])
@pytest.mark.parametrize("guidance", [1, 3])
def test_given_frames_come_back_bit_by_bit(solver, guidance):
    known = randn(*SHAPE, seed=2).where(per_frame(GIVEN), torch.nan)  # elsewhere ignored

    def model(z, tau, tokens, starts):
        assert torch.equal(tau[:2] == 0, GIVEN)
        assert torch.equal(z[:2][mask], known[mask])
        return 100 + z

    mask = per_frame(GIVEN).expand(SHAPE)
    for step in walk(model, steps=6, solver=solver, guidance=guidance, given=GIVEN, known=known):
        assert torch.equal(step.z[mask], known[mask])
        assert torch.equal(step.guess[mask], known[mask])
        assert step.z.isfinite().all()


def test_given_frames_do_not_hold_the_others_up():
    known = randn(*SHAPE, seed=2)
    final = walk(oracle, steps=3, given=GIVEN, known=known)[-1].z
    assert_close(final, torch.where(per_frame(GIVEN), known, TARGET))


def test_given_frames_may_be_slightly_noised_and_the_model_is_told():
    haze, known = torch.tensor([[0.1, 0, 0], [0.3, 0.2, 0.1]]), randn(*SHAPE, seed=2)
    told = []

    def model(z, tau, tokens, starts):
        told.append(tau)
        return z

    final = walk(model, steps=2, given=GIVEN, known=known, haze=haze)[-1]
    assert_close(told[0], torch.where(GIVEN, haze, 1))
    assert_close(told[1], torch.where(GIVEN, haze, 0.5))
    assert torch.equal(
        final.z[per_frame(GIVEN).expand(SHAPE)], known[per_frame(GIVEN).expand(SHAPE)]
    )


# ---- beginning on the way ----


@pytest.mark.parametrize("begin", [0, 0.25, 0.6, 1])
@pytest.mark.parametrize("shift", [1, 3])
def test_a_walk_that_begins_on_the_way(begin, shift):
    start, times = (1 - begin) * TARGET + begin * NOISE, []

    def model(z, tau, tokens, starts):
        times.append(tau[0, 0].item())
        return oracle(z, tau, tokens, starts)

    options = dict(steps=4, guidance=1, shift=shift, begin=begin)
    walked = list(sample(model, start, TOKENS, NULL, **options))
    assert times[0] == pytest.approx(begin) and walked[-1].tau == 0
    assert times == sorted(times, reverse=True)
    assert_close(walked[-1].z, TARGET)


# ---- guidance ----


def wordy(z, tau, tokens, starts):
    """A velocity that is the sum of the caption's tokens."""
    return torch.ones_like(z) * tokens.sum(1).view(-1, 1, 1, 1, 1)


def velocities(null, guidance, model=wordy, starts=None):
    tau = torch.full((2, 3), 0.5)
    return guided(model, NOISE, tau, TOKENS, null, guidance, starts)


def test_guidance_1_is_no_guidance():
    assert torch.equal(velocities(NULL, 1), wordy(NOISE, None, TOKENS, None))
    nearly = walk(wordy, steps=3, guidance=1 + 1e-9)[-1].z  # takes the other way
    assert_close(nearly, walk(wordy, steps=3, guidance=1)[-1].z)


@pytest.mark.parametrize("guidance", [0, 0.5, 3, 8])
@pytest.mark.parametrize(
    ("null", "sums"),
    [
        ([[1]], (1, 1)),
        ([[2, 3, 4, 5, 6]], (20, 20)),  # a negative prompt, longer than the captions
        ([[2], [3]], (2, 3)),  # one for each
        ([[2, 3, 4, 5], [6, 0, 0, 0]], (14, 6)),
    ],
)
def test_guidance_pushes_away_from_what_is_not_wanted(guidance, null, sums):
    v = velocities(torch.tensor(null), guidance)
    for i, caption in enumerate((18, 17)):
        assert torch.all(v[i] == sums[i] + guidance * (caption - sums[i]))


def test_starts_go_to_both_halves():
    starts = torch.tensor([True, False])

    def model(z, tau, tokens, starts):
        return z * starts.view(-1, 1, 1, 1, 1)

    assert_close(velocities(NULL, 3, model, starts), model(NOISE, None, None, starts))
    assert_close(walk(model, steps=2, starts=starts)[-1].z[1], NOISE[1])


# ---- errors ----


def test_an_unknown_solver_is_told_the_known_ones():
    with pytest.raises(ValueError, match="^solver 'rk4' is not one of adams, euler, heun$"):
        walk(growth, solver="rk4")


@pytest.mark.parametrize("steps", [0, -3, 1001])
def test_no_steps_are_too_few_and_thousands_too_many(steps):
    told = f"^sampling takes at least one step and at most 1000, not {steps}$"
    with pytest.raises(ValueError, match=told):
        walk(growth, steps=steps)


@pytest.mark.parametrize("guidance", [float("nan"), float("inf"), -101.0])
def test_guidance_is_a_number_that_makes_sense(guidance):
    with pytest.raises(ValueError, match=f"^guidance is a number up to 100 .*, not {guidance}$"):
        walk(growth, guidance=guidance)


@pytest.mark.parametrize("only", ["given", "known"])
def test_given_and_known_come_together(only):
    value = {"given": GIVEN, "known": TARGET}[only]
    with pytest.raises(ValueError, match="^given and known come together: "):
        walk(growth, **{only: value})


@pytest.mark.parametrize("begin", [-0.1, 1.5, float("nan")])
def test_a_walk_begins_between_data_and_noise(begin):
    with pytest.raises(ValueError, match="^sampling begins at a τ from 0 .* to 1 .*, not "):
        walk(growth, begin=begin)
