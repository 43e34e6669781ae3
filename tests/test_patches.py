"""Spacetime patches: nothing is lost, the order is kept, and rotary positions are relative."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from minisora.patches import grid_of, pack, patchify, positions, rotary, rotate, unpatchify

CASES = [  # latents b c t h w, patch
    ((2, 5, 3, 4, 6), (1, 2, 2)),
    ((2, 3, 4, 6, 10), (2, 3, 5)),
    ((1, 7, 1, 2, 8), (1, 1, 4)),
    ((3, 4, 6, 2, 3), (3, 2, 1)),
]


def randn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


# ---- cutting and laying out ----


@pytest.mark.parametrize(("shape", "patch"), CASES)
def test_patches_are_laid_out_again_exactly(shape, patch):
    z = randn(*shape)
    tokens = patchify(z, patch)
    assert torch.equal(unpatchify(tokens, grid_of(shape, patch), patch), z)
    assert torch.equal(patchify(unpatchify(tokens, grid_of(shape, patch), patch), patch), tokens)


@pytest.mark.parametrize(("shape", "patch"), CASES)
def test_tokens_are_those_of_the_naive_loop(shape, patch):
    z = randn(*shape)
    (grid_t, grid_h, grid_w), (pt, ph, pw) = grid_of(shape, patch), patch
    expected = []
    for t, y, x in itertools.product(range(grid_t), range(grid_h), range(grid_w)):
        block = z[:, :, t * pt : (t + 1) * pt, y * ph : (y + 1) * ph, x * pw : (x + 1) * pw]
        expected.append(block.permute(0, 2, 3, 4, 1).flatten(1))  # channels fastest
    assert torch.equal(patchify(z, patch), torch.stack(expected, 1))


@pytest.mark.parametrize("size", [(3, 4, 6), (4, 5, 6), (4, 4, 5), (0, 4, 6)])
def test_sizes_that_cannot_be_cut_are_refused(size):
    with pytest.raises(ValueError) as error:
        patchify(torch.zeros(2, 5, *size), (2, 2, 2))
    assert str(error.value) == f"latents of t h w = {size} cannot be cut into patches of (2, 2, 2)"


# ---- several clips in one sequence ----


@pytest.mark.parametrize("captions", [(), (2, 1, 4)])
def test_packed_clips_see_what_they_see_alone(captions):
    clips = [randn(n, 8, seed=n) for n in (3, 1, 5)]
    words = [randn(m, 8, seed=10 * m) for m in captions]
    x, mask = pack(clips, words)
    keys = torch.cat([x, *words])
    assert x.shape == (9, 8) and mask.shape == (9, 9 + sum(captions))
    packed = F.scaled_dot_product_attention(x, keys, keys, attn_mask=mask)
    for i, part in enumerate(packed.split([3, 1, 5])):
        alone = torch.cat([clips[i], *words[i : i + 1]])
        assert_close(part, F.scaled_dot_product_attention(clips[i], alone, alone))


def test_the_mask_of_a_pack_is_block_diagonal():
    _, mask = pack([torch.zeros(n, 4, device="meta") for n in (2, 3)])
    assert mask.device.type == "meta"  # stands in for a GPU
    _, mask = pack([torch.zeros(n, 4) for n in (2, 3)])
    assert torch.equal(mask, torch.block_diag(torch.ones(2, 2), torch.ones(3, 3)).bool())


# ---- where a patch is ----


def test_positions_follow_the_tokens():
    grid = (3, 2, 5)
    place = positions(grid)
    assert place.shape == (30, 3)
    # paint every cell with its own coordinates and cut: the tokens must carry their positions
    coordinates = torch.meshgrid(*map(torch.arange, grid), indexing="ij")
    painted = patchify(torch.stack(coordinates)[None].float(), (1, 1, 1))[0]
    assert_close(place - place[0], painted)


def test_time_counts_from_the_start_and_space_from_the_middle():
    place = positions((3, 2, 5))
    assert place[:, 0].min() == 0
    assert_close(place[:, 1:].mean(0), torch.zeros(2))
    assert_close(place.amax(0), torch.tensor([2, 0.5, 2]))


# ---- rotary positions ----


def test_rotating_is_multiplying_complex_numbers():
    place, x = positions((3, 2, 5)).double(), randn(2, 4, 30, 16)
    cos, sin = rotary(place, 16)
    turned = torch.complex(*x.chunk(2, -1)) * torch.polar(torch.ones_like(cos), sin.atan2(cos))
    assert_close(rotate(x, cos, sin), torch.cat([turned.real, turned.imag], -1))


def test_rotating_keeps_lengths():
    x = randn(2, 4, 30, 16)
    assert_close(rotate(x, *rotary(positions((3, 2, 5)), 16)).norm(dim=-1), x.norm(dim=-1))


def scores(place, q, k):
    turn = rotary(place, q.shape[-1])
    return rotate(q, *turn) @ rotate(k, *turn).mT


def test_attention_sees_only_differences_of_positions():
    q, k = randn(2, 30, 16), randn(2, 30, 16, seed=1)
    place = positions((3, 2, 5)).double()
    shift = torch.tensor([4.0, -1.5, 7.0], dtype=torch.float64)
    assert_close(scores(place + shift, q, k), scores(place, q, k))
    for axis in range(3):  # and sees each of the three
        moved = place.clone()
        moved[0, axis] += 1
        assert (scores(moved, q, k) - scores(place, q, k)).abs().max() > 0.1


@pytest.mark.parametrize(("dim", "counts"), [(8, (2, 1, 1)), (16, (2, 3, 3)), (32, (4, 6, 6))])
def test_every_axis_turns_its_own_pairs(dim, counts):
    angles = [torch.atan2(*rotary(one[None], dim)[::-1])[0] for one in torch.eye(3)]
    turning = torch.stack(angles) > 0
    owner = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
    assert torch.equal(turning, owner == torch.arange(3)[:, None])
    fastest = [angles[axis][turning[axis]].max() for axis in range(3)]
    assert_close(torch.stack(fastest), torch.ones(3))  # one radian a patch
    slowest = min(angle[angle > 0].min() for angle in angles)
    assert 0.01 <= slowest + 1e-6


def test_no_rotation_at_the_origin():
    cos, sin = rotary(torch.zeros(1, 3), 16)
    x = randn(2, 1, 16)
    assert torch.equal(rotate(x, cos, sin), x)


def test_rotary_computes_where_the_places_are():
    cos, sin = rotary(positions((3, 2, 5)).to("meta"), 16)  # stands in for a GPU
    assert cos.device.type == sin.device.type == "meta" and cos.shape == (30, 8)
