"""Rectified flow: where the path begins and ends, what is learned, and what is left out."""

import pytest
import torch
from torch.testing import assert_close

from minisora import flow

SHAPE = (2, 7, 3, 4, 5)  # b c t h w


def randn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def dice(seed=0):
    return torch.Generator().manual_seed(seed)


Z, NOISE = randn(*SHAPE), randn(*SHAPE, seed=1)
TAU = torch.tensor([[0.1, 0.5, 0.9], [0.3, 0.7, 0.2]], dtype=torch.float64)


# ---- the path ----


def test_the_path_runs_from_data_to_noise():
    assert torch.equal(flow.add_noise(Z, NOISE, torch.zeros_like(TAU)), Z)
    assert torch.equal(flow.add_noise(Z, NOISE, torch.ones_like(TAU)), NOISE)
    half = flow.add_noise(Z, NOISE, torch.full_like(TAU, 0.5))
    assert_close(half, (Z + NOISE) / 2)


def test_every_frame_is_as_noisy_as_its_own_time_says():
    z_tau = flow.add_noise(Z, NOISE, TAU)
    for b in range(2):
        for t in range(3):
            tau = TAU[b, t]
            assert_close(z_tau[b, :, t], (1 - tau) * Z[b, :, t] + tau * NOISE[b, :, t])


def test_the_velocity_is_the_derivative_of_the_path():
    step = 1e-3
    ahead, behind = (flow.add_noise(Z, NOISE, TAU + s) for s in (step, -step))
    assert_close((ahead - behind) / (2 * step), flow.velocity(Z, NOISE))


def test_clean_walks_back_to_the_data():
    z_tau = flow.add_noise(Z, NOISE, TAU)
    assert_close(flow.clean(z_tau, flow.velocity(Z, NOISE), TAU), Z)


# ---- diffusion times ----


def test_times_are_logit_normal():
    tau = flow.draw_tau(20_000, dice(), shift=1, even=0)
    assert tau.shape == (20_000,) and 0 < tau.min() and tau.max() < 1
    n = tau.logit()
    assert abs(n.mean()) < 0.05 and abs(n.std() - 1) < 0.05
    assert torch.equal(tau, flow.draw_tau(20_000, dice(), shift=1, even=0))


@pytest.mark.parametrize("b", [1, 2, 32])
def test_every_batch_has_its_share_of_each_time(b):
    for seed in range(20):
        tau = flow.draw_tau(b, dice(seed), shift=1, even=0)
        quantile = torch.special.ndtr(tau.logit())  # one in each b-th of the distribution
        assert torch.equal((quantile * b).floor().sort()[0], torch.arange(float(b)))


@pytest.mark.parametrize("shift", [0.5, 2.0, 5.0])
def test_the_shift_moves_times_towards_noise(shift):
    tau, shifted = (flow.draw_tau(1000, dice(), s, even=0) for s in (1, shift))
    assert 0 < shifted.min() and shifted.max() < 1
    moved = shifted.logit() - tau.logit()  # by the same everywhere: log(shift)
    assert_close(moved, torch.full_like(tau, shift).log(), atol=1e-3, rtol=0)


def test_a_share_of_the_times_is_spread_evenly():
    focused, mixed = (flow.draw_tau(20_000, dice(), even=even) for even in (0, 0.2))
    spread = mixed[mixed != focused]
    assert abs(len(spread) / 20_000 - 0.2) < 0.02
    counts = spread.histc(10, 0, 1)
    assert 0.8 < counts.min() / 400 and counts.max() / 400 < 1.2


# ---- given frames ----


@pytest.mark.parametrize("t", [2, 3, 5])
def test_something_is_always_left_to_learn(t):
    for share in (0.0, 0.4, 1.0):
        given = flow.draw_given(4000, t, share, dice())
        assert given.shape == (4000, t) and given.dtype == torch.bool
        assert not given.all(1).any()
        # of a fifth of the shares, a random half may be none at all
        expected = share * (1 - 0.2 * 0.5**t)
        assert abs(given.any(1).double().mean() - expected) < 0.04


def test_all_six_kinds_are_drawn():
    rows, counts = flow.draw_given(5000, 6, 1.0, dice()).int().unique(dim=0, return_counts=True)
    seen = {
        "".join(map(str, row)): n for row, n in zip(rows.tolist(), counts.tolist(), strict=True)
    }
    for pattern in ("100000", "110000", "000001", "000011", "100001"):
        assert 650 < seen.pop(pattern) < 1100
    assert len(seen) > 50 and max(seen.values()) < 60  # the rest are random halves


def test_an_image_has_nothing_given():
    assert not flow.draw_given(1000, 1, 1.0, dice()).any()


def test_the_same_dice_give_the_same_frames():
    first, second = (flow.draw_given(100, 5, 0.5, dice(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, flow.draw_given(100, 5, 0.5, dice(4)))


# ---- the loss ----

GIVEN = torch.tensor([[True, False, False], [False, False, True]])
TIMES = torch.tensor([0.3, 0.8], dtype=torch.float64)


def test_the_loss_is_the_naive_loops():
    prediction = randn(*SHAPE, seed=2)
    errors = [
        (prediction[b, c, t, y, x] - (NOISE[b, c, t, y, x] - Z[b, c, t, y, x])) ** 2
        for b, c, t, y, x in torch.cartesian_prod(*map(torch.arange, SHAPE)).tolist()
        if not GIVEN[b, t]
    ]
    loss = flow.loss(lambda *_: prediction, Z, None, TIMES, GIVEN, NOISE)
    assert_close(loss.double(), torch.stack(errors).mean(), atol=1e-6, rtol=1e-6)


def test_the_loss_ignores_given_frames():
    prediction = flow.velocity(Z, NOISE)
    spoilt = prediction + 100 * flow.per_frame(GIVEN)
    assert flow.loss(lambda *_: spoilt, Z, None, TIMES, GIVEN, NOISE) == 0
    spoilt = prediction + 100 * flow.per_frame(~GIVEN)
    assert flow.loss(lambda *_: spoilt, Z, None, TIMES, GIVEN, NOISE) == 100**2


def test_the_model_sees_given_frames_clean_and_the_rest_as_noisy_as_drawn():
    expected = torch.tensor([[0, 0.3, 0.3], [0.8, 0.8, 0]], dtype=torch.float64)

    def model(z_tau, tau, tokens, starts):
        assert torch.equal(tau, expected)
        assert torch.equal(z_tau, flow.add_noise(Z, NOISE, tau))
        assert torch.equal(z_tau[0, :, 0], Z[0, :, 0]) and torch.equal(z_tau[1, :, 2], Z[1, :, 2])
        assert (tokens, starts) == ("words", "starts")
        return z_tau

    flow.loss(model, Z, "words", TIMES, GIVEN, NOISE, "starts")


def test_given_frames_may_be_a_little_noisy():
    haze = torch.tensor([0.05, 0.0], dtype=torch.float64)

    def model(z_tau, tau, tokens, starts):
        assert tau[0].tolist() == [0.05, 0.3, 0.3] and tau[1, 2] == 0
        assert torch.equal(z_tau, flow.add_noise(Z, NOISE, tau))
        return z_tau

    flow.loss(model, Z, "words", TIMES, GIVEN, NOISE, None, haze)
    drawn = flow.draw_haze(4000, dice())
    assert 0.45 < (drawn == 0).double().mean() < 0.55
    assert 0 <= drawn.min() and 0.099 < drawn.max() <= 0.1
