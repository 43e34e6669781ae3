"""The diffusion transformer: noisy patches and words in, the velocity of every patch out.

Peebles & Xie 2023 (DiT, arXiv 2212.09748) with what has proved itself since: one shared
projection of the diffusion time and a small learned table per block (PixArt-α, Chen et al. 2023,
arXiv 2310.00426), normalised queries and keys (Dehghani et al. 2023, arXiv 2302.05442), rotary
positions, and words as further keys beside the patches, so that one softmax decides whether a
patch looks at another patch or at a word (GLIDE, Nichol et al. 2021, arXiv 2112.10741).

Each latent frame has a diffusion time τ of its own: a frame that is given has τ = 0 while the
others are still noise. Animating, extending and connecting are then questions of which frames are
given (as in Diffusion Forcing, Chen et al. 2024, arXiv 2407.01392).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from minisora.patches import grid_of, patchify, positions, rotary, rotate, unpatchify
from minisora.text import TextEncoder, attention


@dataclass(frozen=True)
class DiTConfig:
    """Sizes of the diffusion transformer."""

    channels: int = 16  # of the latents
    patch: tuple[int, int, int] = (1, 1, 2)  # latent frames, rows, columns in a token
    width: int = 192  # features of a token
    depth: int = 6  # blocks
    heads: int = 3
    text_depth: int = 2  # blocks of the text encoder
    hints: int = 28  # what each patch is asked while the network learns, see `judge.local_loss`

    @property
    def patch_size(self) -> int:
        """Numbers in one patch."""
        return self.channels * math.prod(self.patch)


def rms_norm(x: Tensor) -> Tensor:
    """Divide by the root mean square over the last axis."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Normalise, then scale and shift: x `b t s d` by `b t 1 d` (adaptive layer norm)."""
    return F.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift


def from_linear_guess(z: Tensor, x: Tensor, tau: Tensor) -> Tensor:
    """Return the velocity: the best linear guess from the noisy latents, and x to correct it.

    v = (2τ−1)/s² · z_τ + x/s with s² = (1−τ)² + τ²: for z and ε of variance 1 the first term is the
    least-squares guess of ε − z and 1/s the spread of its error, so that x has variance 1 at every
    τ. Karras et al. 2022, arXiv 2206.00364, section 5, worked out for a straight path.

    Args:
        z: noisy latents `b c t h w`.
        x: what the network says, likewise.
        tau: `b t`.
    """
    tau = rearrange(tau, "b t -> b 1 t 1 1")
    square = (1 - tau) ** 2 + tau**2
    return (2 * tau - 1) / square * z + x * square.rsqrt()


class TimeEmbedding(nn.Module):
    """Diffusion time to a vector: sines and cosines of many wave lengths, then two layers."""

    def __init__(self, width: int, waves: int = 64):
        super().__init__()
        self.register_buffer("rates", torch.logspace(-1, 2, waves), persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * waves, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, tau: Tensor) -> Tensor:
        """Map τ in [0, 1], `b t`, to `b t d`."""
        angles = tau[..., None] * self.rates
        return self.layers(torch.cat([angles.cos(), angles.sin()], -1))


class Block(nn.Module):
    """One transformer block, steered by the diffusion time and the caption (adaLN-Zero)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.words = nn.Linear(width, 2 * width)  # keys and values of the caption
        self.scale = nn.Parameter(torch.full((heads, 1, 1), (width // heads) ** 0.5))
        self.mlp_in, self.mlp_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.table = nn.Parameter(torch.zeros(6, width))

    def forward(self, x: Tensor, steer: Tensor, turn: tuple, text: Tensor, mask: Tensor) -> Tensor:
        """Let every patch look at all patches and words, then think for itself.

        Args:
            x: tokens `b t s d`, s patches in each latent frame.
            steer: `b t 6 d`, shift, scale and gate for both halves; zero gates: the identity.
            turn: cosines and sines of the rotary positions.
            text: `b m d`.
            mask: `b 1 1 n+m`, True where there is something to look at.
        """
        parts = rearrange(steer + self.table, "b t p d -> p b t 1 d")
        x = x + parts[2] * self.attend(modulate(x, parts[0], parts[1]), turn, text, mask)
        y = self.mlp_out(F.gelu(self.mlp_in(modulate(x, parts[3], parts[4]))))
        return x + parts[5] * y

    def attend(self, x: Tensor, turn: tuple, text: Tensor, mask: Tensor) -> Tensor:
        """Return what each patch sees, `b t s d`."""
        q, k, v = rearrange(self.qkv(x), "b t s (p h d) -> p b h (t s) d", p=3, h=self.heads)
        word_k, word_v = rearrange(self.words(text), "b m (p h d) -> p b h m d", p=2, h=self.heads)
        q = rotate(rms_norm(q) * self.scale, *turn)  # unit length times a learned sharpness
        k = torch.cat([rotate(rms_norm(k), *turn), rms_norm(word_k)], 2)
        v = torch.cat([v, word_v], 2)
        y = attention(q / q.shape[-1], k, v, mask)
        return self.out(rearrange(y, "b h (t s) d -> b t s (h d)", t=x.shape[1]))


class DiT(nn.Module):
    """Predicts the velocity dz/dτ of noisy latents, given each frame's τ and a caption."""

    def __init__(self, config: DiTConfig | None = None):
        super().__init__()
        self.config = c = config or DiTConfig()
        self.text = TextEncoder(c.width, c.text_depth, c.heads)
        self.embed = nn.Linear(c.patch_size, c.width)
        self.time = TimeEmbedding(c.width)
        self.caption = nn.Linear(c.width, c.width)  # the whole caption, beside its words
        self.starts = nn.Parameter(torch.zeros(c.width))  # marks the first frame of a video
        self.steer = nn.Linear(c.width, 6 * c.width)
        self.blocks = nn.ModuleList(Block(c.width, c.heads) for _ in range(c.depth))
        self.last = nn.Linear(c.width, 2 * c.width)
        self.head, self.hint = nn.Linear(c.width, c.patch_size), nn.Linear(c.width, c.hints)
        for layer in (self.steer, self.last, self.head):  # every block starts as the identity,
            nn.init.zeros_(layer.weight)  # and the whole network as the best linear guess
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        z: Tensor,
        tau: Tensor,
        tokens: Tensor,
        starts: Tensor | None = None,
        kept: Tensor | None = None,
        hints: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Predict the velocity.

        Args:
            z: noisy latents `b c t h w`.
            tau: diffusion time of each latent frame, `b t` in [0, 1]; 0 is data, 1 is noise.
            tokens: captions, int64 `b m` (see `text.batch_tokens`).
            starts: bool `b`, whether the first latent frame is the first of a video and so stands
                for one frame, not for four; None: they all are.
            kept: the patches of each latent frame that the middle blocks see, int64 `t k`; the
                others wait for the last one (three blocks at least). None: all.
            hints: whether to say, too, which object each patch shows.

        Returns:
            `b c t h w`; with hints also the logits of `judge.local_loss`, `b t·s` (or `b t·k`)
            by 28, as the middle of the network has them.

        Raises:
            ValueError: the latents do not fit the patches, or τ the frames.
        """
        if z.ndim != 5 or z.shape[1] != self.config.channels:
            raise ValueError(f"z is b {self.config.channels} t h w here, not {tuple(z.shape)}")
        grid = grid_of(z.shape, self.config.patch)
        if tau.shape != (z.shape[0], z.shape[2]):
            raise ValueError(f"τ is b t = {z.shape[0], z.shape[2]} here, not {tuple(tau.shape)}")
        words, mask = self.text(tokens)
        pooled = (words * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        condition = self.time(tau) + self.caption(pooled)[:, None]  # b t d
        condition = condition[:, :: self.config.patch[0]]
        steer = rearrange(self.steer(F.silu(condition)), "b t (p d) -> b t p d", p=6)

        x = rearrange(self.embed(patchify(z, self.config.patch)), "b (t s) d -> b t s d", t=grid[0])
        first = torch.ones(len(z), device=z.device) if starts is None else starts.to(x.dtype)
        x = torch.cat([x[:, :1] + first[:, None, None, None] * self.starts, x[:, 1:]], 1)
        turn = rotary(positions(grid).to(z.device), self.config.width // self.config.heads)
        seen = torch.ones(len(z), math.prod(grid), dtype=torch.bool, device=z.device)
        mask = rearrange(torch.cat([seen, mask], 1), "b n -> b 1 1 n")
        middle, frames = len(self.blocks) // 2, torch.arange(grid[0], device=z.device)[:, None]
        for i, block in enumerate(self.blocks):
            if kept is not None and i == 1:
                every, flat = (x, turn, mask), (frames * x.shape[2] + kept).flatten()
                x, turn = x[:, frames, kept], tuple(angles[flat] for angles in turn)
                mask = mask[..., math.prod(grid) - len(flat) :]
            if kept is not None and i == len(self.blocks) - 1:
                some, (x, turn, mask) = x, every
                x = x.index_put((torch.arange(len(x))[:, None, None], frames, kept), some)
            x = block(x, steer, turn, words, mask)
            if hints and i == middle:
                asked = self.hint(F.layer_norm(x, x.shape[-1:])).flatten(1, 2)

        shift, scale = rearrange(self.last(F.silu(condition)), "b t (p d) -> p b t 1 d", p=2)
        x = self.head(modulate(x, shift, scale))
        x = unpatchify(rearrange(x, "b t s d -> b (t s) d"), grid, self.config.patch)
        v = from_linear_guess(z, x, tau)
        return (v, asked) if hints else v
