"""The video compression network: it never looks ahead, fits every size, and can learn."""

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch.distributions import Normal
from torch.testing import assert_close

from minisora.vae import PIECE, VAE, CausalConv, ResidualBlock, VAEConfig, kl_divergence, psnr

CHANNELS = 5
SMALL = VAEConfig(channels=CHANNELS, width=8, encoder_depth=1, decoder_depth=1)


def randn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def pixels(b=2, t=9, h=16, w=24):
    return randn(b, 3, t, h, w).tanh()


def awake(module):
    """Make every weight random, in float64: what starts at zero would hide mistakes."""
    module.double()
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p.add_(0.2 * randn(*p.shape, seed=i))
    return module


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return awake(VAE(SMALL)).requires_grad_(False)


# ---- what depends on what ----


def test_the_first_frame_alone_is_the_first_latent_of_the_clip(vae):
    x = pixels()
    z = vae.encode(x)
    assert_close(vae.encode(x[:, :, :1]), z[:, :, :1])
    assert_close(vae.decode(z[:, :, :1]), vae.decode(z)[:, :, :1])


@pytest.mark.parametrize("k", [1, 2])
def test_later_frames_never_change_earlier_ones(vae, k):
    x = pixels()
    changed = torch.cat([x[:, :, : 4 * k - 3], -x[:, :, 4 * k - 3 :]], 2)
    z, other = vae.encode(x), vae.encode(changed)
    assert_close(other[:, :, :k], z[:, :, :k])
    assert (other[:, :, k] - z[:, :, k]).abs().max() > 0.01

    z_changed = torch.cat([z[:, :, :k], -z[:, :, k:]], 2)
    y, other = vae.decode(z), vae.decode(z_changed)
    assert_close(other[:, :, : 4 * k - 3], y[:, :, : 4 * k - 3])
    assert (other[:, :, 4 * k - 3] - y[:, :, 4 * k - 3]).abs().max() > 0.01


def test_the_past_is_remembered(vae):
    x = pixels()
    changed = torch.cat([-x[:, :, :1], x[:, :, 1:]], 2)
    assert (vae.encode(changed)[:, :, -1] - vae.encode(x)[:, :, -1]).abs().max() > 0.001


def test_clips_of_a_batch_do_not_see_each_other(vae):
    x = pixels()
    assert_close(vae.encode(x[1:]), vae.encode(x)[1:])
    z = vae.encode(x)
    assert_close(vae.decode(z[1:]), vae.decode(z)[1:])


# ---- sizes ----


@pytest.mark.parametrize(
    ("t", "h", "w"), [(1, 8, 8), (1, 16, 24), (5, 24, 16), (9, 8, 40), (17, 32, 48)]
)
def test_images_and_clips_of_any_size_keep_it(vae, t, h, w):
    x = pixels(2, t, h, w)
    z = vae.encode(x)
    assert z.shape == (2, CHANNELS, (t + 3) // 4, h // 8, w // 8)
    assert vae.decode(z).shape == x.shape
    y, mean, log_variance = vae(x)
    assert (y.shape, mean.shape, log_variance.shape) == (x.shape, z.shape, z.shape)


def test_a_place_stays_where_it_is(vae):
    x = pixels(1, 5, 40, 56)
    spot = x.clone()
    spot[:, :, 1:, 24:32, 8:16] *= -1  # one cell: row 3, column 1
    change = (vae.encode(spot) - vae.encode(x)).abs().sum((0, 1, 2))
    assert divmod(change.argmax().item(), 7) == (3, 1)


@pytest.mark.parametrize(
    ("shape", "allowed"),
    [
        ((2, 4, 5, 16, 24), "b 3 t h w"),
        ((3, 5, 16, 24), "b 3 t h w"),
        ((2, 3, 4, 16, 24), "1+4k frames"),
        ((2, 3, 5, 12, 24), "multiples of 8"),
        ((2, 3, 5, 16, 20), "multiples of 8, not 5 frames of 20x16"),
    ],
)
def test_a_wrong_size_is_told_what_is_allowed(vae, shape, allowed):
    for use in (vae.encode, vae):
        with pytest.raises(ValueError) as error:
            use(torch.zeros(shape, dtype=torch.float64))
        assert allowed in str(error.value) and "\n" not in str(error.value)


def test_wrong_latents_are_told_what_is_allowed(vae):
    with pytest.raises(ValueError, match=r"latents are b 5 t h w, not \(2, 4, 3, 2, 1\)"):
        vae.decode(torch.zeros(2, 4, 3, 2, 1))


# ---- long videos ----


@pytest.mark.parametrize("piece", [1, 3])
def test_a_video_in_pieces_has_no_seam(vae, monkeypatch, piece):
    x, z = pixels(t=25), randn(2, CHANNELS, 7, 2, 3)
    latents, clip = vae.encode(x), vae.decode(z)  # short enough for one piece
    assert_close(clip, vae.decoder(z))
    monkeypatch.setattr("minisora.vae.PIECE", piece)
    assert len(list(vae.decode_pieces(z))) == -(-7 // piece)
    assert_close(vae.decode(z), clip)
    assert_close(vae.encode(x), latents)
    assert_close(vae.decode(z), clip)  # nothing is left over from the video before


def test_memory_does_not_grow_with_the_length(vae):
    lengths, pasts = [], []

    def look(layer, args):
        lengths.append(args[0].shape[1])
        pasts.append(args[1])

    hook = vae.decoder.coarse[0].time.register_forward_pre_hook(look)
    frames = [piece.shape[2] for piece in vae.decode_pieces(randn(1, CHANNELS, 65, 1, 2))]
    hook.remove()
    assert sum(frames) == 257 and max(lengths) == PIECE and max(frames) == 4 * PIECE
    kept = [tensor.untyped_storage().nbytes() for tensor in pasts[-1].values()]
    assert sum(kept) == 8 * 2 * (2 * 24 + 2 * 4 * 8)  # of each layer two frames of its features


# ---- layers ----


@pytest.mark.parametrize("over", ["space", "time"])
def test_the_convolutions_are_torchs_own(over):
    conv = awake(CausalConv(7, over))
    x = randn(2, 4, 5, 6, 7)
    if over == "space":
        kernel = rearrange(conv.weight, "o (y x i) -> o i 1 y x", y=3, x=3)
        padding = (1, 1, 1, 1, 0, 0)  # left right, top bottom, before after
    else:
        kernel = rearrange(conv.weight, "o (t i) -> o i t 1 1", t=3)
        padding = (0, 0, 0, 0, 2, 0)
    expected = F.conv3d(F.pad(rearrange(x, "b t h w c -> b c t h w"), padding), kernel, conv.bias)
    assert_close(conv(x), rearrange(expected, "b c t h w -> b t h w c"))


def test_blocks_start_as_the_identity():
    x = randn(2, 3, 4, 5, 6)
    assert torch.equal(ResidualBlock(6).double()(x), x)


def test_gradients_of_a_block():
    block = awake(ResidualBlock(3))
    weights = dict(block.named_parameters())

    def run(x, *values):
        return torch.func.functional_call(block, dict(zip(weights, values, strict=True)), x)

    x = randn(1, 2, 3, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(run, (x, *weights.values()))


def test_the_drawn_latent_has_the_mean_and_variance_it_says(vae):
    x, noise = pixels(), randn(2, CHANNELS, 3, 2, 3, seed=1)
    y, mean, log_variance = vae(x, noise)
    assert_close(y, vae.decoder(mean + log_variance.exp().sqrt() * noise))
    assert_close(vae(x, 0 * noise)[0], vae.decode(vae.encode(x)))


# ---- measures ----


def test_kl_divergence_is_torchs_own():
    mean, log_variance = randn(2, 5, 3, 4, 6), randn(2, 5, 3, 4, 6, seed=1)
    drawn, standard = Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)
    expected = torch.distributions.kl_divergence(drawn, standard).mean()
    assert_close(kl_divergence(mean, log_variance), expected)
    assert kl_divergence(torch.zeros(3), torch.zeros(3)) == 0


def test_psnr_of_known_errors():
    x = torch.zeros(3, 3, 5, 8, 16)
    y = x + torch.tensor([0.2, 0.02, 0.0]).view(3, 1, 1, 1, 1)  # of a range of 2: 10%, 1%, 0%
    decibels = psnr(x, y)
    assert_close(decibels[:2], torch.tensor([20.0, 40.0]))
    assert 100 < decibels[2] < torch.inf
    assert psnr(x + 1, x + 7)[0] > 100  # beyond white is white


def test_calibrated_latents_have_mean_0_and_variance_1():
    torch.manual_seed(0)
    vae = awake(VAE(SMALL))
    x = pixels(4)
    before = vae.decode(vae.encode(x))
    vae.calibrate(x)
    z = rearrange(vae.encode(x), "b c t h w -> c (b t h w)")
    assert_close(z.mean(1), torch.zeros_like(z[:, 0]))
    assert_close(z.var(1).mean(), torch.ones((), dtype=z.dtype), rtol=0.02, atol=0)
    assert_close(vae.decode(vae.encode(x)), before)  # decoding undoes it


# ---- learning ----


def test_one_batch_can_be_learned_by_heart():
    torch.manual_seed(0)
    vae = VAE(VAEConfig(channels=8, width=16, encoder_depth=1, decoder_depth=1))
    x = F.interpolate(pixels(2, 3, 3, 4).float(), (5, 16, 24), mode="trilinear")
    optimizer = torch.optim.Adam(vae.parameters(), 1e-2)
    errors = []
    for _ in range(150):
        y, mean, log_variance = vae(x)
        errors.append((y - x).square().mean())
        optimizer.zero_grad()
        (errors[-1] + 1e-4 * kl_divergence(mean, log_variance)).backward()
        optimizer.step()
    assert errors[-1] < 0.1 * x.var()
