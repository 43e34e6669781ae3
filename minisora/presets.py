"""Recipes: a few named presets for each model.

smoke: seconds; cpu: minutes; gpu: one card; speedrun: a stated score in little time; polish: goes
on from finished weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from minisora.captioner import CaptionerConfig
from minisora.data import OFTEN, Size
from minisora.dit import DiTConfig
from minisora.judge import JudgeConfig
from minisora.vae import VAEConfig


@dataclass(frozen=True)
class Preset:
    """One recipe: what is trained, on what, and for how long."""

    config: VAEConfig | DiTConfig | JudgeConfig | CaptionerConfig
    sizes: tuple[Size, ...]  # of the training clips; the first one is also checked on
    batch: int  # clips in a step
    steps: int
    checked: int  # unseen clips for the score
    check_every: int  # steps between scores
    muon_lr: float = 0.02  # for the matrices inside
    decay: float = 0.0  # of their weights, a share of the rate
    adam_lr: float = 2e-3  # for everything else
    warmup: int = 50  # steps in which the learning rate grows
    cooldown: float = 0.6  # share of the steps in which it falls to 0
    beta: float = 5e-2  # VAE: weight of the KL divergence
    drop: float = 0.12  # DiT: share of captions replaced by the null caption
    levels: tuple[int, ...] = OFTEN  # DiT: how often captions are short, medium and full
    given: float = 0.3  # DiT: share of samples in which some frames are given
    images: float = 0.1  # DiT: share of steps on images alone
    still: float = 0.25  # DiT: share of the steps, at the beginning, that are all on images
    kept: tuple[int, ...] = (4, 4, 2, 1)  # DiT: one patch in so many sees the middle blocks
    hints: float = 0.02  # DiT: weight of the question which object a patch shows
    objects: float = 1.0  # DiT: weight in the loss of a cell with an object, others having 1
    onward: bool = False  # begins with the finished weights that are there, not with new ones


_CLIPS = (
    Size(30000, share=6.0),
    Size(3000, frames=33, share=2.0),
    Size(2000, height=48, width=80, share=1.0),
    Size(2000, height=80, width=48, share=1.0),
)
_WIDE = DiTConfig(width=512, depth=12, heads=8)
_LONG = dict(muon_lr=0.03, decay=0.1, cooldown=0.95, objects=4.0)
# objects no longer count four times: floors that drift with the camera are learnt here
_POLISH = dict(muon_lr=0.012, decay=0.1, adam_lr=1e-3, cooldown=1.0, objects=2.0)
_POLISH |= dict(still=0.0, kept=(1,), onward=True)
# full captions of one object in clips that are wholly noise: what its exam asks, and nothing else
_SPRINT = _LONG | dict(levels=(0, 0, 1), given=0.0, kept=(4, 4, 4, 2, 1), objects=2.0)
_SLIM = DiTConfig(width=128, heads=2)  # in less than an hour many steps are worth more than width
_TINY = (Size(24, height=32, width=32), Size(8, frames=33, height=32, width=48))
# one judge scores all models
_JUDGE = Preset(JudgeConfig(), _CLIPS[:1], 32, 9000, 800, 450, cooldown=1.0)
# it is checked on the clips that the judge is checked on
_CAPTIONER = Preset(CaptionerConfig(), _CLIPS, 32, 10000, 800, 500, still=0.0, cooldown=1.0)
_SMALL = CaptionerConfig(width=48, depth=1, text_depth=1, heads=2)
PRESETS = {
    "vae": {
        "smoke": Preset(VAEConfig(width=16), _TINY[:1], 4, 20, 8, 10, warmup=5),
        "cpu": Preset(VAEConfig(width=64), (Size(6000),), 4, 10000, 64, 500),
        "speedrun": Preset(VAEConfig(width=48), (Size(3000, objects=1),), 4, 2000, 64, 400),
        "gpu": Preset(VAEConfig(width=128), (Size(12000),), 32, 12000, 256, 500),
    },
    "dit": {
        "smoke": Preset(DiTConfig(width=64, depth=3, heads=4), _TINY, 4, 20, 8, 10, warmup=5),
        "cpu": Preset(DiTConfig(), _CLIPS, 32, 9000, 128, 300, **_LONG),
        "polish": Preset(DiTConfig(), _CLIPS, 32, 4000, 128, 400, **_POLISH),
        "finish": Preset(DiTConfig(), _CLIPS, 32, 6000, 128, 300, **_POLISH),
        "speedrun": Preset(_SLIM, (Size(10000, objects=1),), 32, 3900, 64, 300, **_SPRINT),
        "gpu": Preset(_WIDE, _CLIPS, 128, 20000, 256, 500, **_LONG),
    },
    "judge": {
        "smoke": Preset(JudgeConfig(width=48, depth=1, heads=2), _TINY[:1], 4, 20, 8, 10, warmup=5),
        **dict.fromkeys(("cpu", "gpu"), _JUDGE),
    },
    "captioner": {
        "smoke": Preset(_SMALL, _TINY, 4, 20, 8, 10, still=0.0, warmup=5),
        **dict.fromkeys(("cpu", "gpu"), _CAPTIONER),
    },
}
