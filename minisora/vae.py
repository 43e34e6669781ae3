"""The video compression network: a causal 3-D convolutional variational autoencoder.

17 frames of 64x64 pixels become 5 latent frames of 8x8 cells with 16 channels, 41 times fewer
numbers. The first frame is compressed alone and every later latent frame stands for four frames
and sees only the past, so an image is a one-frame video and 1+4k frames become 1+k latent frames.

Sora's report says only that such a network was trained from scratch and compresses in time and
space. Ours follows the causal design of MAGVIT-v2 (Yu et al. 2023, arXiv 2310.05737), with a
pixel shuffle (Shi et al. 2016, arXiv 1609.05158) at both ends so that all the work is done on
small grids, and the objective of Kingma & Welling (2014, arXiv 1312.6114).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import parse_shape, rearrange
from torch import Tensor, nn

PIECE = 8  # latent frames (32 frames) of a long video in the network at once: memory is bounded
Past = dict[nn.Module, Tensor]  # what each convolution over time saw last of the piece before


@dataclass(frozen=True)
class VAEConfig:
    """Sizes of the autoencoder; the strides are fixed at 4 frames and 8x8 pixels."""

    channels: int = 16  # numbers in one latent cell
    width: int = 64  # features at a quarter of the resolution; three times as many at an eighth
    encoder_depth: int = 2  # residual blocks at each of the two resolutions
    decoder_depth: int = 3  # making pixels up is harder than summing them up

    time_stride = 4
    space_stride = 8


class CausalConv(nn.Module):
    """A convolution over space (3x3) or over time (this frame and the two before it).

    The kernel is kept as a matrix, out x (taps · in), because Muon orthogonalises matrices.
    """

    def __init__(self, width: int, over: str):
        super().__init__()
        self.over, self.width, self.taps = over, width, 9 if over == "space" else 3
        rows = self.taps * width
        self.weight = nn.Parameter(torch.randn(width, rows) / rows**0.5)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Map `b t h w c` to the same shape; `past` takes it from piece to piece of a video."""
        b, t = x.shape[:2]
        if self.over == "time":
            empty = x.new_zeros(b, 2, *x.shape[2:])  # two empty frames before the first
            seen = torch.cat([(past or {}).get(self, empty), x], 1)
            if past is not None:
                past[self] = seen[:, -2:].clone()  # a view would keep the whole piece
            window = torch.cat([seen[:, i : i + t] for i in range(3)], -1)
            return F.linear(window, self.weight, self.bias)
        kernel = rearrange(self.weight, "o (y x i) -> o i y x", y=3, x=3)
        y = F.conv2d(rearrange(x, "b t h w c -> (b t) c h w"), kernel, self.bias, padding=1)
        return rearrange(y, "(b t) c h w -> b t h w c", b=b, t=t)


class ResidualBlock(nn.Module):
    """Look around in space, then back in time, and add what was found (He et al. 2016).

    Normalising each position by itself keeps the network causal and indifferent to the size.
    """

    def __init__(self, width: int):
        super().__init__()
        self.space_norm, self.time_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.space, self.time = CausalConv(width, "space"), CausalConv(width, "time")
        nn.init.zeros_(self.time.weight)  # every block starts as the identity

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Map `b t h w c` to the same shape."""
        y = self.space(F.silu(self.space_norm(x)))
        return x + self.time(F.silu(self.time_norm(y)), past)


class Encoder(nn.Module):
    """Pixels to the mean and log variance of each latent."""

    def __init__(self, config: VAEConfig):
        super().__init__()
        w, d = config.width, 3 * config.width
        self.stem = nn.Linear(2 * 4 * 4 * 3, w)
        self.fine = nn.ModuleList(ResidualBlock(w) for _ in range(config.encoder_depth))
        self.down = nn.Linear(2 * 2 * 2 * w, d)
        self.coarse = nn.ModuleList(ResidualBlock(d) for _ in range(config.encoder_depth))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 2 * config.channels)

    def forward(self, x: Tensor, past: Past | None = None) -> tuple[Tensor, Tensor]:
        """Map pixels `b c t h w` to the latents' mean and log variance, each `b c t h w`."""
        if not past:  # the first frame stands alone: show it four times, to fill a group of four
            x = torch.cat([x[:, :, :1].expand(-1, -1, 3, -1, -1), x], 2)
        x = self.stem(rearrange(x, "b c (t p) (h q) (w r) -> b t h w (p q r c)", p=2, q=4, r=4))
        for block in self.fine:
            x = block(x, past)
        x = rearrange(x, "b (t p) (h q) (w r) c -> b t h w (p q r c)", p=2, q=2, r=2)
        x = self.down(x)
        for block in self.coarse:
            x = block(x, past)
        x = self.head(F.silu(self.norm(x)))
        mean, log_variance = rearrange(x, "b t h w (k c) -> k b c t h w", k=2)
        return mean, log_variance.clamp(-12, 4)


class Decoder(nn.Module):
    """Latents to pixels: the encoder run backwards, with more blocks."""

    def __init__(self, config: VAEConfig):
        super().__init__()
        w, d = config.width, 3 * config.width
        self.stem = nn.Linear(config.channels, d)
        self.coarse = nn.ModuleList(ResidualBlock(d) for _ in range(config.decoder_depth))
        self.up = nn.Linear(d, 2 * 2 * 2 * w)
        self.fine = nn.ModuleList(ResidualBlock(w) for _ in range(config.decoder_depth))
        self.norm, self.head = nn.LayerNorm(w), nn.Linear(w, 2 * 4 * 4 * 3)

    def forward(self, z: Tensor, past: Past | None = None) -> Tensor:
        """Map latents `b c t h w` to pixels `b c t h w`."""
        unreal = 0 if past else 3  # of the very first group only its last frame is real
        x = self.stem(rearrange(z, "b c t h w -> b t h w c"))
        for block in self.coarse:
            x = block(x, past)
        x = self.up(x)
        x = rearrange(x, "b t h w (p q r c) -> b (t p) (h q) (w r) c", p=2, q=2, r=2)
        for block in self.fine:
            x = block(x, past)
        x = self.head(F.silu(self.norm(x)))
        x = rearrange(x, "b t h w (p q r c) -> b c (t p) (h q) (w r)", p=2, q=4, r=4)
        return x[:, :, unreal:]


class VAE(nn.Module):
    """The autoencoder with the statistics that give its latents mean 0 and variance 1."""

    def __init__(self, config: VAEConfig | None = None):
        super().__init__()
        self.config = config or VAEConfig()
        self.encoder, self.decoder = Encoder(self.config), Decoder(self.config)
        self.register_buffer("latent_mean", torch.zeros(self.config.channels, 1, 1, 1))
        self.register_buffer("latent_std", torch.ones(self.config.channels, 1, 1, 1))

    def check(self, x: Tensor) -> None:
        """Raise a ValueError unless x is `b 3 t h w` with t = 1+4k and h, w multiples of 8."""
        if x.ndim != 5 or x.shape[1] != 3:
            raise ValueError(f"the VAE takes pixels b 3 t h w, not {tuple(x.shape)}")
        size = parse_shape(x, "_ _ t h w")
        if size["t"] % 4 != 1 or size["h"] % 8 or size["w"] % 8:
            raise ValueError(
                f"the VAE takes 1+4k frames and sides in multiples of 8, not {size['t']} frames of "
                f"{size['w']}x{size['h']}"
            )

    def encode(self, x: Tensor) -> Tensor:
        """Compress a video to its normalised latent means.

        Args:
            x: float `b 3 t h w` in [-1, 1], t = 1+4k, h and w multiples of 8.

        Returns:
            float `b c 1+k h/8 w/8`, about mean 0 and variance 1 in each channel.

        Raises:
            ValueError: a size does not fit.
        """
        self.check(x)
        t, past = x.shape[2], {}
        cuts = pairwise([0, *range(4 * PIECE - 3, t, 4 * PIECE), t])
        mean = torch.cat([self.encoder(x[:, :, i:j], past)[0] for i, j in cuts], 2)
        return (mean - self.latent_mean) / self.latent_std

    def decode(self, z: Tensor) -> Tensor:
        """Turn normalised latents `b c 1+k h w` into pixels `b 3 1+4k 8h 8w`, about [-1, 1]."""
        return torch.cat(list(self.decode_pieces(z)), 2)

    def decode_pieces(self, z: Tensor) -> Iterator[Tensor]:
        """Yield what `decode` returns, a few frames at a time, so that any length fits in memory.

        Nothing looks ahead, and what each layer saw last is carried over: there is no seam.
        """
        if z.ndim != 5 or z.shape[1] != self.config.channels:
            raise ValueError(f"latents are b {self.config.channels} t h w, not {tuple(z.shape)}")
        past: Past = {}
        for piece in z.split(PIECE, 2):
            yield self.decoder(piece * self.latent_std + self.latent_mean, past)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Encode, draw a latent, decode: what training needs.

        Args:
            x: as in `encode`.
            noise: standard normal, the latents' shape; None draws it.

        Returns:
            The reconstruction `b 3 t h w`, mean and log variance `b c 1+k h/8 w/8`.
        """
        self.check(x)
        mean, log_variance = self.encoder(x)
        noise = torch.randn_like(mean) if noise is None else noise
        return self.decoder(mean + noise * (0.5 * log_variance).exp()), mean, log_variance

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set the latents' statistics from a batch of videos `b 3 t h w`."""
        mean, _ = self.encoder(x)
        self.latent_mean.copy_(mean.mean((0, 2, 3, 4)).view(-1, 1, 1, 1))
        # one scale for all: a channel that matters little to the pixels has little variance, and
        # a scale of its own would make it as loud as the others to the diffusion transformer
        self.latent_std.fill_((mean - self.latent_mean).std().clamp_min(1e-3))


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) ‖ N(0, 1)), the mean over latents, in nats.

    ½(μ² + σ² − log σ² − 1): Kingma & Welling 2014, appendix B.
    """
    return 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).mean()


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each video, in dB, of pixels in [-1, 1].

    10·log10(peak² / MSE) with peak 2; higher is better, 30 dB is an average error of 3%.
    """
    error = (x.clamp(-1, 1) - y.clamp(-1, 1)).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / error.clamp_min(1e-10))
