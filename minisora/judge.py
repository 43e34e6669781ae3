"""The judge: a network that says what a clip shows, so that thousands of clips can be scored.

It learns from filmed clips, whose truth is exact, as the VAE shows them, and from no generated one.

Objects have no order. So the judge fills three slots, and the truth is compared with them in the
order that fits best: the matching of DETR (Carion et al. 2020, arXiv 2005.12872), where three
objects have so few orders (6) that all of them are tried.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from tqdm import tqdm

from minisora.device import autocast
from minisora.patches import positions, rotary
from minisora.text import TextBlock
from minisora.vae import VAE, ResidualBlock
from minisora.video import frames_to_tensor, tensor_to_frames
from minisora.world.scenes import CAMERAS, COLORS, MOTIONS, SHAPES, SIZES, Scene
from minisora.world.shot import GROUNDS, SKIES

SLOTS = 3  # no scene has more objects
LOOKS = ((0, 0), (0, 2), (0, -2), (2, 0), (-2, 0))  # pixels by which the view moves down and right
THING = dict(shape=SHAPES, color=tuple(COLORS), size=tuple(SIZES), motion=tuple(MOTIONS))
PLACE = dict(camera=CAMERAS, ground=tuple(GROUNDS), sky=tuple(SKIES))
Said = dict[str, Tensor]  # logits by attribute, and the features behind them
Truth = dict[str, Tensor]  # the right answers' numbers


@dataclass(frozen=True)
class JudgeConfig:
    """Sizes of the judge."""

    width: int = 192  # features of a token; one and two thirds of it on the finer grids
    depth: int = 3  # transformer blocks
    heads: int = 6
    features: int = 64  # all that a slot may know


class Judge(nn.Module):
    """Convolutions see what moves from frame to frame; four slots then ask about the whole clip."""

    def __init__(self, config: JudgeConfig | None = None):
        super().__init__()
        self.config = c = config or JudgeConfig()
        fine, coarse = c.width // 3, 2 * c.width // 3
        self.stem, self.fine = nn.Linear(4 * 4 * 4 * 3, fine), ResidualBlock(fine)
        self.down, self.coarse = nn.Linear(2 * 2 * fine, coarse), ResidualBlock(coarse)
        self.merge = nn.Linear(2 * 2 * coarse, c.width)
        self.slot_embed = nn.Parameter(torch.randn(SLOTS + 1, c.width))  # three objects, the clip
        self.blocks = nn.ModuleList(TextBlock(c.width, c.heads) for _ in range(c.depth))
        self.norm, self.squeeze = nn.LayerNorm(c.width), nn.Linear(c.width, c.features)
        sizes = {"present": 1} | {name: len(values) for name, values in (THING | PLACE).items()}
        self.heads = nn.ModuleDict({name: nn.Linear(c.features, n) for name, n in sizes.items()})
        self.local = nn.Linear(c.width, 1 + sum(map(len, THING.values())))  # for training only

    def forward(self, x: Tensor) -> Said:
        """Say what clips (pixels `b 3 t h w` in [-1, 1], t = 1+4k, sides multiples of 16) show.

        In logits: "present" `b 3`, each of `THING` `b 3 n`, each of `PLACE` `b n`; "local", what
        each token alone has to say of the object that it shows, `b tokens n`; and "features"
        `b 64`, the mean over the slots.
        """
        fits = x.ndim == 5 and x.shape[1] == 3 and x.shape[2] % 4 == 1
        if not fits or x.shape[3] % 16 or x.shape[4] % 16:
            wanted = "pixels b 3 t h w with 1+4k frames and sides in multiples of 16"
            raise ValueError(f"the judge takes {wanted}, not {tuple(x.shape)}")
        x = torch.cat([self.slot_embed.expand(len(x), -1, -1), self.tokens(x)], 1)
        for block in self.blocks:
            x = block(x, None)
        x = self.norm(x)
        slots = self.squeeze(x[:, : SLOTS + 1])  # b 4 64
        things, place = slots[:, :SLOTS], slots[:, SLOTS]
        said = {n: head(place if n in PLACE else things) for n, head in self.heads.items()}
        whole = {"present": said["present"][..., 0], "features": slots.mean(1)}
        return {**said, **whole, "local": self.local(x[:, SLOTS + 1 :])}

    def tokens(self, x: Tensor) -> Tensor:
        """Turn pixels `b 3 t h w` into one token for every 16x16 pixels of four frames, `b n d`."""
        half = "b t (h q) (w r) c -> b t h w (q r c)"
        x = torch.cat([x[:, :, :1].expand(-1, -1, 3, -1, -1), x], 2)  # as the VAE's encoder does
        x = rearrange(x, "b c (t p) (h q) (w r) -> b t h w (p q r c)", p=4, q=4, r=4)
        x = self.fine(self.stem(x))
        x = self.coarse(self.down(rearrange(x, half, q=2, r=2)))
        x = self.merge(rearrange(x, half, q=2, r=2))
        place = torch.cat(rotary(positions(x.shape[1:4]).to(x.device), x.shape[-1]), 1)
        return rearrange(x, "b t h w d -> b (t h w) d") + place

    @torch.no_grad()
    def say(self, x: Tensor) -> Said:
        """Say what any number of clips show, wherever the judge is; float32 on the CPU.

        All are means over five looks, of which four are moved by two pixels: what one look gets
        wrong the others often have right (NOTES.md).
        """
        device, parts = self.slot_embed.device, []
        for some in x.split(32):
            with autocast(device):
                said = [self(look) for look in looks(some.to(device))]
            parts.append({n: torch.stack([o[n].float() for o in said]).mean(0) for n in said[0]})
        return {name: torch.cat([p[name] for p in parts]).cpu() for name in parts[0]}

    def features(self, x: Tensor) -> Tensor:
        """Return the features `b 64` of clips `b 3 t h w`, for the Fréchet distance."""
        return self.say(x)["features"]


def looks(x: Tensor) -> list[Tensor]:
    """Return clips `b 3 t h w` as they are and moved by two pixels each way, edges repeated."""
    (h, w), wide = x.shape[-2:], F.pad(x, (2, 2, 2, 2, 0, 0), mode="replicate")
    return [wide[..., 2 + i : 2 + i + h, 2 + j : 2 + j + w] for i, j in LOOKS]


def labels(scenes: list[Scene]) -> Truth:
    """Return what scenes show: int64 `b 3` for attributes of objects (none: -1), `b` for others."""
    truth = {"camera": [CAMERAS.index(scene.camera.motion) for scene in scenes]}
    for name in ("ground", "sky"):
        truth[name] = [PLACE[name].index(getattr(scene, name)) for scene in scenes]
    for name, values in THING.items():
        rows = [[values.index(getattr(thing, name)) for thing in s.objects] for s in scenes]
        truth[name] = [row + [-1] * (SLOTS - len(row)) for row in rows]
    return {name: torch.tensor(numbers) for name, numbers in truth.items()}


def slot_costs(said: Said, truth: Truth, smooth: float = 0.0) -> Tensor:
    """Return −log p of each object, or of none, in each slot: `b slots objects`, in nats."""
    there = (truth["shape"] >= 0)[:, None].float().expand(-1, said["present"].shape[1], -1)
    logit = said["present"][..., None].expand_as(there)
    cost = F.binary_cross_entropy_with_logits(logit, there, reduction="none")
    for name in THING:
        log_p = said[name].log_softmax(-1)  # b s n
        log_p = (1 - smooth) * log_p + smooth * log_p.mean(-1, keepdim=True)
        number = truth[name].clamp_min(0)[:, None].expand_as(there)
        cost = cost - there * log_p.gather(2, number)
    return cost


def match(cost: Tensor) -> Tensor:
    """Return the slot of each object, int64 `b o`, for the least total of `cost` (`b s o`)."""
    s, o = cost.shape[1:]
    orders = torch.tensor([*permutations(range(s), o)], device=cost.device)
    total = cost[:, orders, torch.arange(o, device=cost.device)].sum(-1)  # b orders
    return orders[total.argmin(1)]


def judge_loss(said: Said, truth: Truth, smooth: float = 0.05) -> Tensor:
    """Return the mean negative log-likelihood of the whole truth, slots in the best order."""
    cost = slot_costs(said, truth, smooth)
    loss = cost.gather(1, match(cost.detach())[:, None]).sum((1, 2)).mean()
    for name in PLACE:
        loss = loss + F.cross_entropy(said[name], truth[name], label_smoothing=smooth)
    return loss


def local_loss(said: Tensor, truth: Truth, cells: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of the object that each token shows.

    Slots find out very slowly which object is theirs; a token knows at once. So every token is
    asked, too, whether it shows an object, and which.

    Args:
        said: logits `b n 28`: whether there is one, and each of `THING`.
        truth: see `labels`.
        cells: the number of the object in each token, `b n`; −1 for none.
    """
    there, (present, *of) = cells >= 0, said.split([1, *map(len, THING.values())], -1)
    loss = F.binary_cross_entropy_with_logits(present[..., 0], there.float())
    for name, logits in zip(THING, of, strict=True):
        number = truth[name].gather(1, cells.clamp_min(0))
        loss = loss + F.cross_entropy(logits[there], number[there])
    return loss


def right(said: Said, scenes: list[Scene]) -> dict[str, Tensor]:
    """Say what clips have right of the scenes that they should show, bool `b` by attribute.

    Of k objects, in the k slots that most likely hold one, in the best order, all must be right.
    "every" is all attributes; "number", not among them, is whether k slots hold an object.

    Raises:
        ValueError: the scenes differ in their number of objects.
    """
    counts = {len(scene.objects) for scene in scenes}
    if len(counts) != 1:
        raise ValueError(f"score scenes of one number of objects at a time, not {sorted(counts)}")
    k, rows = counts.pop(), torch.arange(len(scenes))[:, None]
    truth = {n: v[:, :k] if n in THING else v for n, v in labels(scenes).items()}
    likely = said["present"].topk(k).indices
    held = {n: said[n][rows, likely] for n in ("present", *THING)}
    slots = match(slot_costs(held, truth))
    hits = {n: (held[n][rows, slots].argmax(-1) == truth[n]).all(1) for n in THING}
    hits |= {n: said[n].argmax(-1) == truth[n] for n in PLACE}
    number = (said["present"] > 0).sum(1) == k
    return hits | {"every": torch.stack([*hits.values()]).all(0), "number": number}


def mirrored(truth: Truth, flip: Tensor) -> Truth:
    """Swap left and right in the truth of the clips that are mirrored (`flip`, bool `b`)."""
    swap = {"left": "right", "right": "left"}
    for name, values in (("motion", THING["motion"]), ("camera", PLACE["camera"])):
        there = [" ".join(swap.get(word, word) for word in value.split()) for value in values]
        other = torch.tensor([*map(values.index, there), -1])  # at -1: no object stays none
        numbers = truth[name].clone()
        numbers[flip] = other[numbers[flip]]
        truth = truth | {name: numbers}
    return truth


@torch.no_grad()
def shown(vae: VAE, latents: Tensor) -> Tensor:
    """Return what the VAE makes of cached latents: float32 pixels `b 3 t h w`, on its device."""
    device = next(vae.parameters()).device
    with autocast(device):
        return vae.decode(latents.float().to(device)).float().clamp(-1, 1)


def decoded(vae: VAE, latents: Tensor) -> np.ndarray:
    """Return latents of the cache as the VAE shows them, uint8 `n t h w c`, from the cache."""
    from minisora.checkpoints import fingerprint
    from minisora.data import cache_path, write_array

    path = cache_path("decoded", ".npy", fingerprint(vae), latents.shape, latents[0].sum().item())
    if not path.is_file():
        t, h, w = (4 * latents.shape[2] - 3, 8 * latents.shape[3], 8 * latents.shape[4])
        parts = tqdm(latents.split(32), "decoding", unit="batch")
        clips = (tensor_to_frames(shown(vae, z)) for z in parts)
        write_array(path, (len(latents), t, h, w, 3), clips)
    return np.load(path, mmap_mode="r")


def all_combinations(vae: VAE, sizes: tuple) -> list:
    """Return training buckets, and one of what is held out from the transformer, a fifth as large.

    A ruler has to know all that it measures; it learns it from other clips than those of the exam.
    """
    from minisora.data import bucket, buckets
    from minisora.train import UNSEEN

    count, share = max(1, sizes[0].count // 5), sizes[0].share / 5
    rare = replace(sizes[0], count=count, share=share)
    return [*buckets(vae, sizes), bucket(vae, rare, UNSEEN, "heldout")]


def train_judge(judge: Judge, vae: VAE, preset, seed: int = 0, progress: Path | None = None):
    """Teach a judge to describe filmed clips, yielding a `Record` a step.

    They come from the cache of latents that the diffusion transformer learns from, decoded once
    and mirrored half of the time; to five of them comes one with a combination that is held out
    from everything else. The score is the share of unseen clips of one object in which
    every attribute is right. The arguments are those of `train_dit`; the preset's sizes differ in
    nothing but their counts.
    """
    # both know every model's config, and so this file
    from minisora.data import bucket, object_cells
    from minisora.train import UNSEEN, loop

    filmed = all_combinations(vae, preset.sizes)
    clips = [decoded(vae, b.latents) for b in filmed]
    scenes = [scene for b in filmed for scene in b.captions]
    truth, homes = labels(scenes), [(k, i) for k, c in enumerate(clips) for i in range(len(c))]
    unseen = bucket(vae, replace(preset.sizes[0], count=preset.checked), UNSEEN)
    alone = [i for i, scene in enumerate(unseen.captions) if len(scene.objects) == 1]
    others = torch.cat([shown(vae, z) for z in unseen.latents[alone].split(32)]).cpu()
    device, (t, h, w) = next(judge.parameters()).device, filmed[0].latents.shape[2:]

    def loss_of(step: int) -> Tensor:
        generator = torch.Generator().manual_seed(1_000_003 * seed + step)
        picks = torch.randint(len(scenes), (preset.batch,), generator=generator)
        flip = torch.rand(preset.batch, generator=generator) < 0.5
        x = frames_to_tensor(np.stack([clips[homes[i][0]][homes[i][1]] for i in picks]))
        cells = torch.stack([object_cells(scenes[i], t, h // 2, w // 2) for i in picks])
        x[flip], cells[flip] = x[flip].flip(-1), cells[flip].flip(-1)
        wanted = mirrored({name: numbers[picks] for name, numbers in truth.items()}, flip)
        wanted, cells = {name: n.to(device) for name, n in wanted.items()}, cells.to(device)
        with autocast(device):
            said = judge(x.to(device))
            return judge_loss(said, wanted) + local_loss(said["local"], wanted, cells.flatten(1))

    def score() -> float:
        hits = right(judge.eval().say(others), [unseen.captions[i] for i in alone])["every"]
        return hits.float().mean().item()

    yield from loop(judge, preset, loss_of, score, progress)
