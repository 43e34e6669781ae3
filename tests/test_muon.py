"""Muon: every direction moves equally far, as in torch's own, in any precision."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from minisora.muon import Muon, orthogonalize

SHAPES = [(12, 12), (6, 20), (20, 6), (1, 9), (9, 1)]


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# ---- orthogonalising ----


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_all_singular_values_come_near_1(shape, size):
    u, _, vt = torch.linalg.svd(randn(5, *shape), full_matrices=False)
    spread = torch.logspace(-1.5, 0, min(shape))  # the smallest is a thirtieth of the largest
    values = torch.linalg.svdvals(orthogonalize(size * (u * spread) @ vt))
    assert values.min() > 0.6 and values.max() < 1.3


@pytest.mark.parametrize("shape", SHAPES)
def test_directions_are_kept(shape):
    m = randn(5, *shape).double()
    u, _, vt = torch.linalg.svd(m, full_matrices=False)
    inner = u.mT @ orthogonalize(m) @ vt.mT  # diagonal if U and V are those of m
    off = inner - torch.diag_embed(inner.diagonal(dim1=1, dim2=2))
    assert_close(off, torch.zeros_like(off))


def test_matrices_of_a_stack_and_their_transposes_are_treated_alike():
    m = randn(3, 6, 10).double()
    together = orthogonalize(m)
    for i in range(3):
        assert_close(orthogonalize(m[i : i + 1])[0], together[i])
    assert_close(orthogonalize(m.mT), together.mT)


def test_nothing_stays_nothing():
    assert torch.equal(orthogonalize(torch.zeros(2, 3, 4)), torch.zeros(2, 3, 4))


# ---- steps ----


def weights(seed=0):
    shapes = [(8, 8), (8, 8), (4, 10), (10, 4)]
    return [nn.Parameter(randn(*shape, seed=seed + i)) for i, shape in enumerate(shapes)]


def step(optimizer, parameters, seed):
    for i, p in enumerate(parameters):
        p.grad = randn(*p.shape, seed=1000 * seed + i)
    optimizer.step()


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_steps_are_those_of_torchs_muon(decay):
    ours, theirs = weights(), weights()
    a = Muon(ours, lr=0.1, momentum=0.9, decay=decay)
    b = torch.optim.Muon(
        theirs, lr=0.1, momentum=0.9, weight_decay=decay, nesterov=True, adjust_lr_fn="original"
    )
    for i in range(3):
        before = copy.deepcopy(list(zip(ours, theirs, strict=True)))
        step(a, ours, i)
        step(b, theirs, i)
        for p, q, (p_before, q_before) in zip(ours, theirs, before, strict=True):
            moved, expected = p - p_before, q - q_before
            assert (moved - expected).norm() < 0.05 * expected.norm()  # theirs is in bfloat16


def test_a_step_is_as_long_as_the_learning_rate_says():
    for shape, scale in [((8, 8), 1), ((4, 16), 1), ((16, 4), 2)]:
        p = nn.Parameter(torch.zeros(shape))
        step(Muon([p], lr=0.5), [p], seed=0)
        values = torch.linalg.svdvals(p.detach()) / (0.5 * scale)
        assert values.min() > 0.6 and values.max() < 1.3
        assert (p * p.grad).sum() < 0  # downhill


def test_a_matrix_without_a_gradient_stays():
    p, q = weights()[:2]
    before = q.detach().clone()
    p.grad = torch.ones_like(p)
    Muon([p, q]).step()
    assert torch.equal(q, before)


@pytest.mark.parametrize("shape", [(), (3,), (3, 4, 5)])
def test_only_matrices_are_taken(shape):
    with pytest.raises(ValueError, match="matrices only"):
        Muon([nn.Parameter(torch.zeros(4, 5)), nn.Parameter(torch.zeros(shape))])


def test_bfloat16_comes_near():
    exact, rough = weights(), weights()
    step(Muon(exact, lr=1.0), exact, seed=0)
    step(Muon(rough, lr=1.0, dtype=torch.bfloat16), rough, seed=0)
    for p, q, start in zip(exact, rough, weights(), strict=True):
        assert p.dtype == q.dtype == torch.float32
        assert (p - q).norm() < 0.05 * (p - start).norm()


def test_a_saved_optimizer_goes_on_exactly():
    unbroken = weights()
    optimizer = Muon(unbroken, lr=0.1)
    for i in range(3):
        step(optimizer, unbroken, i)
    state = optimizer.state_dict()
    resumed = [nn.Parameter(p.detach().clone()) for p in unbroken]
    other = Muon(resumed, lr=9.9)
    other.load_state_dict(copy.deepcopy(state))
    for i in range(3, 6):
        step(optimizer, unbroken, i)
        step(other, resumed, i)
    for p, q in zip(unbroken, resumed, strict=True):
        assert torch.equal(p, q)


def test_it_goes_downhill():
    target = randn(8, 8)
    p = nn.Parameter(torch.zeros(8, 8))
    optimizer = Muon([p], lr=0.1)
    for i in range(100):
        optimizer.param_groups[0]["lr"] = 0.2 * (1 - i / 100)
        optimizer.zero_grad()
        (p - target).square().sum().backward()
        optimizer.step()
    assert (p - target).norm() < 0.05 * target.norm()
