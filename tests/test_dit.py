"""The diffusion transformer: nothing to start with, then words, times and places each do theirs."""

import pytest
import torch
from torch.testing import assert_close

from minisora import flow
from minisora.dit import Block, DiT, DiTConfig, TimeEmbedding, from_linear_guess, modulate, rms_norm
from minisora.sampler import sample
from minisora.text import PAD, batch_tokens, tokenize

SMALL = DiTConfig(channels=3, patch=(1, 2, 2), width=32, depth=2, heads=4, text_depth=1)
SHAPE = (2, 3, 5, 4, 6)  # b c t h w
PROMPTS = [
    "a red sphere bounces",
    "a large blue cube slides left, the camera orbits right",
    "a green cone spins at night",
    "a small white ring rolls away on grass",
]
TOKENS = batch_tokens([tokenize(prompt) for prompt in PROMPTS[:2]])


def randn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def awake(module):
    """Make every weight random, in float64: what starts at zero would hide mistakes."""
    module.double()
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p.add_(0.1 * randn(*p.shape, seed=i))
    return module


@pytest.fixture(scope="module")
def dit():
    torch.manual_seed(0)
    return awake(DiT(SMALL)).requires_grad_(False)


Z, TAU = randn(*SHAPE), torch.linspace(0.1, 0.9, 10, dtype=torch.float64).view(2, 5)


def change(a, b):
    """The largest change in each latent frame."""
    return (a - b).abs().amax((0, 1, 3, 4))


# ---- at the start ----


def test_it_starts_as_the_best_linear_guess():
    z, noise = torch.randn(2, 4000, 3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    tau = torch.linspace(0.02, 0.98, 4000)[:, None]
    noisy = flow.add_noise(z, noise, tau)
    error = from_linear_guess(noisy, torch.zeros(()), tau) - flow.velocity(z, noise)
    for part in (slice(0, 1000), slice(1500, 2500), slice(3000, 4000)):
        worth = (error[part] * noisy[part]).mean()  # least squares: the error has no more to learn
        assert abs(worth) < 0.05
    spread = error * torch.sqrt((1 - tau) ** 2 + tau**2).view(-1, 1, 1, 1, 1)
    assert_close(spread.std(), torch.tensor(1.0), atol=0.02, rtol=0)
    start = DiT(SMALL)(Z.float(), TAU.float(), TOKENS)
    assert_close(start, from_linear_guess(Z.float(), torch.zeros(()), TAU.float()))


def test_blocks_start_as_the_identity():
    x, text = randn(2, 5, 6, 32), randn(2, 7, 32)
    turn = torch.ones(30, 4), torch.zeros(30, 4)
    mask = torch.ones(2, 1, 1, 37, dtype=torch.bool)
    block = Block(32, heads=4).double()
    assert torch.equal(block(x, torch.zeros(2, 5, 6, 32), turn, text, mask), x)
    assert not torch.equal(block(x, torch.ones(2, 5, 6, 32), turn, text, mask), x)


def test_norms():
    x = 5 * randn(2, 5, 6, 32)
    assert_close(rms_norm(x).square().mean(-1), torch.ones(2, 5, 6).double())
    y = modulate(x, torch.tensor(3.0), torch.tensor(1.0))
    assert_close(y.mean(-1), torch.full((2, 5, 6), 3.0).double())
    assert_close(y.var(-1, correction=0), torch.full((2, 5, 6), 4.0).double(), rtol=1e-4, atol=0)


def test_times_close_by_and_far_apart_are_told_apart():
    waves = TimeEmbedding(32)
    waves.layers = torch.nn.Identity()
    vectors = waves(torch.linspace(0, 1, 1001)[None])[0]
    apart = torch.cdist(vectors, vectors) + 9 * torch.eye(1001)
    assert apart.min() > 0.1


# ---- words ----


def test_filling_up_the_caption_changes_nothing(dit):
    longer = torch.nn.functional.pad(TOKENS, (0, 9), value=PAD)
    assert_close(dit(Z, TAU, longer), dit(Z, TAU, TOKENS))


def test_words_and_their_order_matter(dit):
    def run(prompt):
        return dit(Z[:1], TAU[:1], batch_tokens([tokenize(prompt)]))

    red = run("red cube, blue sphere")
    assert change(red, run("red sphere, blue cube")).min() > 1e-4
    assert change(red, dit(Z[:1], TAU[:1], batch_tokens([None]))).min() > 1e-4


def test_videos_of_a_batch_do_not_see_each_other(dit):
    together = dit(Z, TAU, TOKENS)
    for i in range(2):
        one = slice(i, i + 1)
        assert_close(dit(Z[one], TAU[one], TOKENS[one]), together[one])


# ---- time ----


def test_a_frames_time_steers_that_frame(dit):
    later = TAU.clone()
    later[:, 2] += 0.05
    assert change(dit(Z, later, TOKENS), dit(Z, TAU, TOKENS)).min() > 1e-6  # through attention

    blind = awake(DiT(SMALL))
    for block in blind.blocks:
        torch.nn.init.zeros_(block.out.weight)
    difference = change(blind(Z, later, TOKENS), blind(Z, TAU, TOKENS))
    assert difference[2] > 1e-3
    assert_close(difference[[0, 1, 3, 4]], torch.zeros(4).double())


def test_a_first_frame_is_told_from_a_later_one(dit):
    def run(starts):
        return dit(Z, TAU, TOKENS, starts)

    first, later = run(torch.tensor([True, True])), run(torch.tensor([False, False]))
    assert_close(run(None), first)
    assert change(first, later).min() > 1e-4
    mixed = run(torch.tensor([True, False]))
    assert_close(mixed, torch.stack([first[0], later[1]]))


# ---- space ----


@pytest.mark.parametrize("patch", [(1, 2, 2), (1, 1, 3), (1, 4, 1), (2, 2, 6)])
@pytest.mark.parametrize("size", [(4, 8, 6), (2, 4, 12), (6, 12, 18)])
def test_sizes_are_kept(patch, size):
    torch.manual_seed(0)
    dit = awake(DiT(DiTConfig(3, patch, width=16, depth=1, heads=2, text_depth=1)))
    z = randn(2, 3, *size)
    assert dit(z, torch.full((2, size[0]), 0.5).double(), TOKENS).shape == z.shape


def test_an_image_is_a_video_of_one_frame(dit):
    v = dit(Z[:, :, :1], TAU[:, :1], TOKENS)
    assert v.shape == (2, 3, 1, 4, 6) and v.abs().max() > 0.01


def test_a_patch_knows_where_it_is(dit):
    same = torch.ones(SHAPE, dtype=torch.float64)  # all patches look alike; only place differs
    v = dit(same, torch.full((2, 5), 0.5).double(), TOKENS)
    for axis in (2, 3, 4):
        ends = v.movedim(axis, 0)[[0, -2 if axis > 2 else -1]]  # the same cell of two patches
        assert (ends[0] - ends[1]).abs().max() > 1e-6


@pytest.mark.parametrize(
    ("z", "tau", "message"),
    [
        ((2, 3, 5, 3, 6), (2, 5), "t h w = (5, 3, 6) cannot be cut into patches of (1, 2, 2)"),
        ((2, 3, 5, 4, 6), (2, 4), "τ is b t = (2, 5) here, not (2, 4)"),
        ((2, 3, 5, 4, 6), (2,), "τ is b t = (2, 5) here, not (2,)"),
        ((2, 4, 5, 4, 6), (2, 5), "z is b 3 t h w here, not (2, 4, 5, 4, 6)"),
        ((3, 5, 4, 6), (2, 5), "z is b 3 t h w here, not (3, 5, 4, 6)"),
    ],
)
def test_wrong_shapes_are_told_what_is_allowed(dit, z, tau, message):
    with pytest.raises(ValueError) as error:
        dit(torch.zeros(z).double(), torch.zeros(tau).double(), TOKENS)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_it_computes_where_its_weights_are():
    dit = DiT(SMALL).to("meta")  # stands in for a GPU
    inputs = (a.to("meta") for a in (Z.float(), TAU.float(), TOKENS, torch.tensor([True, False])))
    assert dit(*inputs).shape == SHAPE


# ---- learning ----


def test_gradients():
    torch.manual_seed(0)
    dit = awake(DiT(DiTConfig(2, (1, 1, 2), width=8, depth=1, heads=1, text_depth=1)))
    tokens = batch_tokens([tokenize("red sphere")])
    z, tau = randn(1, 2, 2, 1, 4).requires_grad_(), torch.tensor([[0.3, 0.7]]).double()
    assert torch.autograd.gradcheck(lambda *x: dit(*x, tokens), (z, tau.requires_grad_()))


def test_every_weight_learns():
    torch.manual_seed(0)
    dit = awake(DiT(SMALL))
    v, asked = dit(Z, TAU, TOKENS, hints=True)
    (v.square().sum() + asked.square().sum()).backward()
    idle = [name for name, p in dit.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


LATENTS = randn(4, 3, 2, 4, 6).float()
CAPTIONS = batch_tokens([tokenize(prompt) for prompt in PROMPTS])


def test_one_batch_can_be_learned_by_heart():
    torch.manual_seed(0)
    dit = DiT(SMALL)
    noise = randn(*LATENTS.shape, seed=1).float()
    tau, given = torch.tensor([0.2, 0.4, 0.6, 0.8]), torch.zeros(4, 2, dtype=torch.bool)
    given[0, 0] = True
    optimizer = torch.optim.Adam(dit.parameters(), 3e-3)
    losses = []
    for _ in range(80):
        losses.append(flow.loss(dit, LATENTS, CAPTIONS, tau, given, noise))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.02 * losses[0]


def test_what_was_learned_comes_back_when_asked_for():
    torch.manual_seed(0)
    dit, dice = DiT(SMALL), torch.Generator().manual_seed(0)
    z, tokens = LATENTS.repeat(6, 1, 1, 1, 1), CAPTIONS.repeat(6, 1)
    optimizer = torch.optim.Adam(dit.parameters(), 3e-3)
    for _ in range(120):
        tau, given = flow.draw_tau(24, dice), flow.draw_given(24, 2, 0.3, dice)
        optimizer.zero_grad()
        flow.loss(dit, z, tokens, tau, given, torch.randn(z.shape, generator=dice)).backward()
        optimizer.step()
    noise, null = torch.randn(LATENTS.shape, generator=dice), batch_tokens([None])
    last = list(sample(dit, noise, CAPTIONS, null, steps=10, guidance=1))[-1]
    distance = torch.cdist(last.z.flatten(1), LATENTS.flatten(1))  # made x learned
    assert distance.argmin(1).tolist() == [0, 1, 2, 3]
