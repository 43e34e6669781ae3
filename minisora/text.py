"""Caption to tokens to vectors, and the null caption.

A word-level vocabulary of the world's own language, with a way out for any other word: the longest
known beginning, then plain bytes. A small transformer reads the tokens in context, so that "red"
knows which object it belongs to. OpenAI does not say how Sora reads its captions: our choice.
"""

from __future__ import annotations

import random
import re
import unicodedata
import warnings

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from minisora.world.captions import vocabulary
from minisora.world.scenes import COLORS

PAD, NULL = 0, 1  # filling after the last word; the caption that says nothing
BYTES = 2  # tokens 2 to 257 are the 256 bytes
WORDS = {word: BYTES + 256 + i for i, word in enumerate(vocabulary(tuple(COLORS)))}
VOCABULARY = BYTES + 256 + len(WORDS)
LONGEST = max(map(len, WORDS))  # letters of a known word
LENGTH = 48  # tokens of a caption


def split(text: str) -> list[str]:
    """Return the words, digits and signs of a text, in lower case, without control characters.

    Raises:
        ValueError: there is nothing to read in it.
    """
    if not isinstance(text, str):
        raise ValueError(f"a prompt is a text, not {type(text).__name__}")
    text = unicodedata.normalize("NFKC", text).lower()
    text = "".join(c if c.isprintable() else " " for c in text)
    words = re.findall(r"[^\W\d_]+|\d|[^\w\s]", text)
    if not words:
        raise ValueError("the prompt is empty: say what is to be seen, for example 'a red ball'")
    return words


def pieces(word: str) -> list[int]:
    """Return a word's token, or for an unknown one its longest known beginning and then bytes."""
    if word in WORDS:
        return [WORDS[word]]
    for end in range(min(len(word) - 1, LONGEST), 2, -1):
        if word[:end] in WORDS:
            return [WORDS[word[:end]], *spell(word[end:])]
    return spell(word)


def spell(word: str) -> list[int]:
    """Return a word as bytes."""
    return [BYTES + byte for byte in word.encode()]


def tokenize(text: str, misspell: float = 0.0, rng: random.Random | None = None) -> list[int]:
    """Turn a caption into 1 to 48 token numbers.

    Args:
        text: any language, any length; longer ones are cut, with a warning.
        misspell: share of words given as bytes although they are known, so that training also
            teaches the bytes something (as BPE-dropout does: Provilkov et al. 2020,
            arXiv 1910.13267).
        rng: draws them.

    Raises:
        ValueError: there is nothing to read in the text.
    """
    tokens = []
    for word in split(text):
        chance = misspell and rng.random() < misspell
        tokens += spell(word) if chance else pieces(word)
        if len(tokens) > LENGTH:
            if not misspell:
                warnings.warn(
                    f"the prompt has more than {LENGTH} tokens: it is cut off at {word[:20]!r}",
                    stacklevel=2,
                )
            break
    return tokens[:LENGTH]


def batch_tokens(captions: list[list[int] | None], device=None) -> Tensor:
    """Stack captions, None for the null caption, into int64 `b n`, n the longest of them."""
    rows = [[NULL] if tokens is None else tokens for tokens in captions]
    longest = max(map(len, rows))
    rows = [row + [PAD] * (longest - len(row)) for row in rows]
    return torch.tensor(rows, dtype=torch.int64, device=device)


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, scale: float = 1.0
) -> Tensor:
    """Return the mean of the values v, weighted by exp(scale q·k) where the mask is True.

    Torch's fused kernel needs no memory for the weights, but its way back is slow on processors
    (four times as slow as this in bfloat16), so what learns there is written out.
    """
    if q.device.type != "cpu" or not q.requires_grad:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    weight = (q * scale) @ k.transpose(-1, -2)
    if mask is not None:
        weight = weight + torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, -1e4)
    return weight.softmax(-1) @ v


class TextBlock(nn.Module):
    """A plain pre-norm transformer block in which every word sees every other (Vaswani 2017)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp_in, self.mlp_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor | None, before: Tensor | None = None) -> Tensor:
        """Map `b n d` to the same shape; mask `b 1 1 n` is True at words.

        `before`, `b m d`, stands before x: it is looked at (the mask is then m+n wide) and stays.
        """
        around = self.norm(x if before is None else torch.cat([before, x], 1))
        q, k, v = rearrange(self.qkv(around), "b n (p h d) -> p b h n d", p=3, h=self.heads)
        seen = attention(q[:, :, -x.shape[1] :], k, v, mask, scale=q.shape[-1] ** -0.5)
        x = x + self.out(rearrange(seen, "b h n d -> b n (h d)"))
        return x + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x))))


class TextEncoder(nn.Module):
    """Tokens to one vector a word."""

    def __init__(self, width: int, depth: int = 2, heads: int = 8):
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, width)
        self.places = nn.Embedding(LENGTH, width)
        self.blocks = nn.ModuleList(TextBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        for table in (self.words, self.places):
            nn.init.normal_(table.weight, std=0.5)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Map int64 `b n` to vectors `b n d` and a mask `b n`, True where there is a word."""
        mask = tokens != PAD
        x = self.words(tokens) + self.places.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x, mask[:, None, None])
        return self.norm(x), mask
