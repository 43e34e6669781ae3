"""The captioner: a video's latents in, a full caption out, word by word, and how sure each is.

Sora's report: "we first train a highly descriptive captioner model and then use it to produce text
captions for all videos in our training set" (the recaptioning of DALL·E 3, Betker et al. 2023).
Ours is a prefix decoder (Liu et al. 2018, arXiv 1801.10198): patches and words are one sequence, in
which every word sees all patches and the words before it. Objects have no order, so captions name
them in that of their colours, which no two share: the next word is then a matter of fact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from minisora.device import autocast
from minisora.expand import Expansion
from minisora.inputs import Source, bring
from minisora.judge import PLACE, THING, all_combinations, labels, looks
from minisora.patches import positions, rotary
from minisora.text import LENGTH, NULL, PAD, VOCABULARY, WORDS, TextBlock, batch_tokens, tokenize
from minisora.vae import VAE, ResidualBlock
from minisora.video import frames_to_tensor
from minisora.world import Scene
from minisora.world.scenes import COLORS

if TYPE_CHECKING:
    from minisora.sora import Sora

MOST_FRAMES = 33  # of the longest clips that it learnt from
HAZE = 0.15  # most noise on latents in training: generated ones are not quite like filmed ones
HINTS = 0.2  # weight of the questions beside the words
SPELT = {token: word for word, token in WORDS.items()}


@dataclass(frozen=True)
class Caption:
    """What a clip shows; attributes of the second object are "color 2" and so on."""

    text: str  # what is sure enough; an unsure shape is an "object", other things are left out
    full: str  # the unsure things too
    scene: Scene  # what `text` says, None where it says nothing
    confidence: float  # how likely every word of `full` is right, in the captioner's own view
    chances: dict[str, float]  # the same by attribute
    unsure: tuple[str, ...]  # the attributes that `text` leaves out


@dataclass(frozen=True)
class CaptionerConfig:
    """Sizes of the captioner."""

    channels: int = 16  # of the latents
    width: int = 192  # features of a token; two thirds of it on the finer grid
    depth: int = 3  # blocks in which patches see each other
    text_depth: int = 2  # blocks in which words see the patches and the words before them
    heads: int = 6
    vae: str = ""  # fingerprint of the VAE whose latents it reads


class Captioner(nn.Module):
    """Convolutions see what moves, patches look at each other, words at the patches."""

    def __init__(self, config: CaptionerConfig | None = None):
        super().__init__()
        self.config = c = config or CaptionerConfig()
        fine = 2 * c.width // 3
        self.stem, self.merge = nn.Linear(c.channels, fine), nn.Linear(2 * 2 * fine, c.width)
        self.fine = nn.Sequential(*(ResidualBlock(fine) for _ in range(3)))
        self.embed, self.places = (nn.Embedding(n, c.width) for n in (VOCABULARY, LENGTH))
        blocks = (TextBlock(c.width, c.heads) for _ in range(c.depth + c.text_depth))
        self.blocks = nn.ModuleList(blocks)
        self.norm, self.head = nn.LayerNorm(c.width), nn.Linear(c.width, VOCABULARY)
        # for training only: what a patch alone says of its object, and all of them of the place
        self.local_head = nn.Linear(c.width, 1 + sum(map(len, THING.values())))
        self.place_head = nn.Linear(c.width, sum(map(len, PLACE.values())))

    def forward(self, z: Tensor, tokens: Tensor) -> Tensor:
        """Return logits `b m words` of the word after each token.

        Args:
            z: latents `b c t h w` of clips from their first frame on.
            tokens: int64 `b m`, the null token and then captions.
        """
        return self.say(self.see(z), tokens)

    def see(self, z: Tensor) -> Tensor:
        """Turn latents `b c t h w` into one token for every 2x2 cells, `b n d`."""
        if z.ndim != 5 or z.shape[1] != self.config.channels:
            wanted = f"b {self.config.channels} t h w"
            raise ValueError(f"the captioner takes latents {wanted}, not {tuple(z.shape)}")
        z = F.pad(z, (0, z.shape[4] % 2, 0, z.shape[3] % 2, 0, 0), mode="replicate")
        x = self.fine(self.stem(rearrange(z, "b c t h w -> b t h w c")))
        x = self.merge(rearrange(x, "b t (h p) (w q) c -> b t h w (p q c)", p=2, q=2))
        place = torch.cat(rotary(positions(x.shape[1:4]).to(x.device), x.shape[-1]), 1)
        x = rearrange(x, "b t h w d -> b (t h w) d") + place
        for block in self.blocks[: self.config.depth]:
            x = block(x, None)
        return x

    def before(self, seen: Tensor) -> list[Tensor]:
        """Return what words find before them in each of their blocks, each `b n d`.

        What was seen does not look at words: it is worked out once for all words of a caption.
        """
        rows = [seen]
        for block in self.blocks[self.config.depth : -1]:
            rows.append(block(rows[-1], None))
        return rows

    def say(self, seen: Tensor, tokens: Tensor, before: list[Tensor] | None = None) -> Tensor:
        """Return logits `b m words` of the word after each token, given what was seen, `b n d`."""
        n, m = seen.shape[1], tokens.shape[1]
        x = self.embed(tokens) + self.places.weight[:m]
        mask = torch.ones(m, n + m, dtype=torch.bool, device=x.device).tril(n)
        blocks = self.blocks[self.config.depth :]
        for block, row in zip(blocks, before or self.before(seen), strict=True):
            x = block(x, mask, row)
        return self.head(self.norm(x))

    @torch.no_grad()
    def write(self, z: Tensor, sure: float = 0.5) -> Iterator[Caption]:
        """Caption any number of clips, given as latents: always the likeliest word.

        Args:
            z: `b c t h w`, or of k looks at each clip `b k c t h w`; their logits are averaged.
            sure: attributes that are less likely than this are left out of `Caption.text`.
        """
        device, z = self.places.weight.device, z if z.ndim == 6 else z[:, None]
        for some in z.split(32):
            words = torch.full((len(some), 1), NULL, device=device)
            chances = torch.ones(len(some), 0, device=device)
            with autocast(device):
                seen = self.see(some.flatten(0, 1).to(device))
                before = self.before(seen)
                while words.shape[1] <= LENGTH and (words != PAD).all(1).any():
                    said = words.repeat_interleave(some.shape[1], 0)
                    after = self.say(seen, said, before)[:, -1].float().unflatten(0, some.shape[:2])
                    best = after.mean(1).softmax(-1).max(-1, keepdim=True)
                    words = torch.cat([words, best.indices], 1)
                    chances = torch.cat([chances, best.values], 1)
            for row, p in zip(words[:, 1:].tolist(), chances.tolist(), strict=True):
                yield caption_of(row[: (*row, PAD).index(PAD)], p, sure)


def caption_of(tokens: list[int], p: list[float], sure: float) -> Caption:
    """Return the caption of these words, each with its probability."""
    full = " ".join(SPELT.get(token, "?") for token in tokens).replace(" ,", ",")
    chances = {
        name: math.prod(math.prod(p[tag.at : tag.at + tag.words.count(" ") + 1]) for tag in tags)
        for name, tags in Expansion(full).said.items()
    }
    unsure = tuple(name for name, chance in chances.items() if chance < sure)
    kept = Expansion(full, hidden=unsure)
    text = kept.caption if len(unsure) < len(chances) else ""  # not "an object and an object"
    return Caption(text, full, kept.scene, math.prod(p[: len(tokens)]), chances, unsure)


def read(sora: Sora, x: Tensor, sure: float = 0.5) -> Iterator[Caption]:
    """Caption clips, pixels `b 3 t h w`, from five looks at each, as the judge does (NOTES.md)."""
    captioner = sora.captioner
    parts = (torch.stack([sora.encode(look) for look in looks(some)], 1) for some in x.split(8))
    return (caption for z in parts for caption in captioner.write(z, sure))


def caption(sora: Sora, video: Source, sure: float = 0.5) -> Caption:
    """Say what a picture or clip shows.

    Args:
        sora: the model; its weights' folder holds the captioner, or else the shipped one is asked.
        video: a file, a `Video` or an array, of any size; of a long one, the first four seconds.
        sure: an attribute that is less likely than this is left out of the text.

    Raises:
        ValueError: the clip cannot be read, or there is no captioner for this VAE.
    """
    frames = bring(video, most=MOST_FRAMES).frames
    frames = np.concatenate([frames, *[frames[-1:]] * (-(len(frames) - 1) % 4)])
    return next(read(sora, frames_to_tensor(frames[None]), sure))


def canonical(scene: Scene) -> str:
    """Return the caption of a scene with its objects in the order of their colours."""
    things, colors = scene.objects, [*COLORS]
    order = sorted(range(len(things)), key=lambda k: colors.index(things[k].color))
    places = {None: None} | {k: order.index(k) for k in order}
    moved = (replace(things[k], partner=places[things[k].partner]) for k in order)
    return replace(scene, objects=tuple(moved)).caption


def caption_loss(captioner: Captioner, seen: Tensor, texts: list[str]) -> Tensor:
    """Return the mean negative log-likelihood of each next word and of the end, in nats."""
    words = batch_tokens([tokenize(text)[: LENGTH - 1] for text in texts], seen.device)
    words = F.pad(words, (0, 1), value=PAD)
    before = F.pad(words[:, :-1], (1, 0), value=NULL)
    wanted = words.masked_fill((words == PAD).cumsum(1) > 1, -100)
    return F.cross_entropy(captioner.say(seen, before).mT, wanted)


def place_loss(said: Tensor, scenes: list[Scene]) -> Tensor:
    """Return how badly the camera, ground and sky are known, in nats, from logits `b 14`."""
    truth, parts = labels(scenes), said.float().split([*map(len, PLACE.values())], -1)
    rows = zip(parts, PLACE, strict=True)
    return sum(F.cross_entropy(part, truth[name].to(part.device)) for part, name in rows)


def train_captioner(captioner: Captioner, vae: VAE, preset, seed=0, progress: Path | None = None):
    """Teach a captioner to describe filmed clips, yielding a `Record` a step.

    It learns from the caches of latents of the diffusion transformer and the judge, with a little
    noise on them, whole clips and beginnings of clips down to the first frame. As the judge's, its
    patches are asked which object they show, and their mean what the camera does, which a word far
    back in the sentence teaches slowly (NOTES.md). The score is the share of unseen clips of one
    object whose caption is right to the word. The arguments are those of `train_dit`.
    """
    # they know every model's config, and so this file
    from minisora.checkpoints import fingerprint
    from minisora.data import bucket
    from minisora.train import UNSEEN, loop
    from minisora.train_dit import by_patch, draw_batch, hint_loss

    captioner.config = replace(captioner.config, vae=fingerprint(vae))
    device, clips = captioner.places.weight.device, all_combinations(vae, preset.sizes)
    for one in clips:
        one.window = one.latents.shape[2]
    unseen = bucket(vae, replace(preset.sizes[0], count=preset.checked), UNSEEN)
    alone = [i for i, scene in enumerate(unseen.captions) if len(scene.objects) == 1][:200]
    truth, latents = [unseen.captions[i].caption for i in alone], unseen.latents[alone].float()

    def loss_of(step: int) -> Tensor:
        z, _, _, cells, scenes = draw_batch(clips, preset, seed, step)
        generator = torch.Generator().manual_seed(1_000_003 * seed + step)
        cut, share = torch.rand(2, generator=generator).tolist()
        some = slice(math.ceil(share * z.shape[2]) if cut < 0.3 else None)
        z, cells = z[:, :, some], by_patch(cells[:, some], (1, 2, 2), None)
        haze = HAZE * torch.rand(len(z), 1, 1, 1, 1, generator=generator)
        z = z + haze * torch.randn(z.shape, generator=generator)
        with autocast(device):
            seen = captioner.see(z.to(device))
            known = captioner.norm(seen)
            hints, place = captioner.local_head(known), captioner.place_head(known.mean(1))
            loss = caption_loss(captioner, seen, [canonical(scene) for scene in scenes])
        return loss + HINTS * (hint_loss(hints, cells, scenes) + place_loss(place, scenes))

    def score() -> float:
        said = [caption.full for caption in captioner.eval().write(latents)]
        return sum(a == b for a, b in zip(said, truth, strict=True)) / len(truth)

    yield from loop(captioner, preset, loss_of, score, progress)
