"""The assembled model: a prompt in, a video out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from minisora import __version__, prompting
from minisora import policy as rules
from minisora.captioner import Captioner, caption
from minisora.checkpoints import SHIPPED, fingerprint, load_model
from minisora.device import autocast, pick_device
from minisora.dit import DiT
from minisora.expand import expand, readings
from minisora.sampler import Step, draw_seed, sample
from minisora.text import batch_tokens, tokenize
from minisora.vae import VAE
from minisora.video import Video, frames_to_tensor, tensor_to_frames

FPS = 8.0
MOST_TOKENS = 4096  # patches made at once: attention grows with their square


def load(
    weights: str | os.PathLike | None = None, device: str | None = None, policy: bool = True
) -> Sora:
    """Load the shipped model, or one of your own.

    Args:
        weights: a folder with vae.safetensors and dit.safetensors; None takes the shipped ones.
        device: "cpu", "cuda", or None for the best one here.
        policy: False lets every prompt pass, for a course that shows why there is a policy; each
            video's provenance then says so.

    Raises:
        ValueError: weights are missing or damaged, or the device is not here.
    """
    folder = Path(weights) if weights else SHIPPED
    chosen = pick_device(device)
    vae, dit = (load_model(folder / f"{kind}.safetensors", kind) for kind in ("vae", "dit"))
    return Sora(vae.to(chosen), dit.to(chosen), folder, policy)


class Sora:
    """A VAE and a diffusion transformer that speak the same latents."""

    def __init__(self, vae: VAE, dit: DiT, weights: Path = SHIPPED, policy: bool = True):
        if vae.config.channels != dit.config.channels:
            raise ValueError(
                f"this VAE's latents have {vae.config.channels} channels, this diffusion "
                f"transformer wants {dit.config.channels}: they were not trained together"
            )
        self.vae, self.dit, self.weights = vae.eval(), dit.eval(), weights
        self.model = fingerprint(vae, dit)
        self.policy = policy

    # images and videos as prompts: the same model, told which frames are given
    animate, extend, loop = prompting.animate, prompting.extend, prompting.loop
    connect, fill, edit, long = prompting.connect, prompting.fill, prompting.edit, prompting.long
    # words: what a clip shows, and what a prompt in free wording means
    caption, expand = caption, staticmethod(expand)

    @cached_property
    def captioner(self) -> Captioner:
        """The captioner of its folder of weights, or else the shipped one, if it reads this VAE."""
        own, shipped = (folder / "captioner.safetensors" for folder in (self.weights, SHIPPED))
        found = load_model(own if own.is_file() or not shipped.is_file() else shipped, "captioner")
        if found.config.vae != fingerprint(self.vae):
            how = f"minisora train captioner --out {self.weights}"
            raise ValueError(f"there is no captioner for this VAE; {how!r} trains one")
        return found.to(self.device)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return next(self.dit.parameters()).device

    def generate(
        self,
        prompt: str | list[str],
        *,
        width: int = 64,
        height: int = 64,
        frames: int = 17,
        steps: int = 10,
        guidance: float = 3.0,
        solver: str = "adams",
        negative: str | None = None,
        seed: int | None = None,
        expand: bool | str | list[str] = False,
        on_step: Callable[[Step], None] | None = None,
    ) -> Video | list[Video]:
        """Make a video from a sentence, or one from each sentence of a list.

        Args:
            prompt: what is to be seen, for example "a red sphere bounces, the camera orbits left".
            width, height: in pixels, multiples of 16 and of 8.
            frames: 1 (an image), 5, 9, 13, 17 …; 8 of them are a second.
            steps: of the sampler; more is slower and a little better.
            guidance: 1 follows the model freely, 3 insists on the prompt, 8 overdoes it.
            solver: "adams", "euler" or "heun".
            negative: what is not wanted.
            seed: the same seed gives the same video; None draws one (see `provenance`). Video i of
                a list is that of seed + i.
            expand: True lets the model read what `expand` makes of the prompt, with the seed; a
                text (for a list, texts) is read in its place. The provenance holds both.
            on_step: called with every `Step`, to show progress.

        Returns:
            A `Video`, or a list of them.

        Raises:
            policy.Refused: (a ValueError) the policy forbids a prompt, or what is not wanted.
            ValueError: the prompt is empty or a size does not fit; the message says what would.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        if not prompts:
            raise ValueError("the list of prompts is empty: say what is to be seen")
        vetted = self.vet(*prompts, negative=negative)
        self.check_size(width, height, frames)
        seed = draw_seed(seed)
        texts = readings(prompts, expand, range(seed, seed + len(prompts)))
        self.vet(*texts)  # an expansion is a prompt too
        noise = self.draw_noise(len(prompts), width, height, frames, seed)
        options = dict(steps=steps, guidance=guidance, solver=solver, negative=negative)
        z = self.denoise(noise, texts, on_step=on_step, **options)
        options = dict(width=width, height=height, frames=frames, **options, policy=vetted)
        read = [None if a == b else b for a, b in zip(prompts, texts, strict=True)]
        videos = [
            Video(clip, FPS, self.provenance(text, seed + i, {**options, "expand": read[i]}))
            for i, (clip, text) in enumerate(zip(self.decode(z), prompts, strict=True))
        ]
        return videos[0] if isinstance(prompt, str) else videos

    def image(self, prompt: str | list[str], **options) -> Video | list[Video]:
        """Make a picture: a video of one frame. The options are those of `generate`."""
        return self.generate(prompt, frames=1, **options)

    def vet(self, *prompts: str, negative: str | None = None) -> dict | str:
        """Check prompts against the policy; return what the provenance says of it.

        What is not wanted is checked too: guidance below 1 walks towards it.

        Raises:
            policy.Refused: (a ValueError) one of them is forbidden.
        """
        if not self.policy:
            return "off"
        return rules.require(*prompts, *([negative] if negative else []))[0].record()

    def draw_noise(self, b: int, width: int, height: int, frames: int, seed: int) -> torch.Tensor:
        """Draw the noise `b c t h w` where sampling begins; video i depends on seed + i alone."""
        shape = (self.vae.config.channels, (frames + 3) // 4, height // 8, width // 8)
        rows = [torch.Generator().manual_seed(seed + i) for i in range(b)]
        return torch.stack([torch.randn(shape, generator=g) for g in rows]).to(self.device)

    def denoise(
        self, noise: torch.Tensor, prompts: list[str], *, negative=None, on_step=None, **options
    ) -> torch.Tensor:
        """Walk from noise to latents, each `b c t h w`; the options are those of `sample`."""
        tokens = batch_tokens([tokenize(text) for text in prompts], self.device)
        null = batch_tokens([tokenize(negative) if negative else None], self.device)
        with autocast(self.device):
            for step in sample(self.dit, noise, tokens, null, **options):
                if on_step:
                    on_step(step)
        return step.z

    @torch.no_grad()
    def encode(self, clips: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Turn frames `b t h w c` uint8 or pixels `b 3 t h w` into float32 latents `b c t h w`."""
        x = clips if isinstance(clips, torch.Tensor) else frames_to_tensor(clips)
        with autocast(self.device):
            return self.vae.encode(x.to(self.device)).float()

    @torch.no_grad()
    def decode(self, z: torch.Tensor) -> np.ndarray:
        """Turn latents `b c t h w` into frames `b t h w c` uint8, few of them at a time."""
        with autocast(self.device):
            return np.concatenate([tensor_to_frames(x) for x in self.vae.decode_pieces(z)], 1)

    def provenance(self, prompt: str, seed: int, options: dict) -> dict:
        """Return what a video's provenance says: how to make it again."""
        kept = {name: value for name, value in options.items() if value is not None}
        about = dict(made_by=f"minisora {__version__}", prompt=prompt, seed=seed, model=self.model)
        return json.loads(json.dumps({**about, **kept}, default=float))  # NumPy's numbers too

    def check_size(self, width: int, height: int, frames: int, at_once: int | None = None) -> None:
        """Raise a ValueError that names the nearest sizes that fit, unless this one does.

        Of a video that is made in pieces, only `at_once` frames need to fit.
        """
        if not all(isinstance(n, int | np.integer) for n in (width, height, frames)):
            raise ValueError(f"a size is whole numbers, not {width!r} x {height!r} x {frames!r}")
        _, ph, pw = self.dit.config.patch
        for name, value, multiple in (("width", width, 8 * pw), ("height", height, 8 * ph)):
            if value < multiple or value % multiple:
                low = max(multiple, value // multiple * multiple)
                near = f"{low}" if value < multiple else f"{low} or {low + multiple}"
                told = f"{name} {value} is not a multiple of {multiple} pixels"
                raise ValueError(f"{told}; try {near}")
        if frames < 1 or frames % 4 != 1:
            low = max(1, (frames - 1) // 4 * 4 + 1)
            near = "1" if frames < 1 else f"{low} or {low + 4}"
            raise ValueError(f"{frames} frames are not 1+4k (1, 5, 9, 13, 17 …); try {near}")
        piece = min(frames, at_once or frames)
        tokens = (piece + 3) // 4 * (height // (8 * ph)) * (width // (8 * pw))
        if tokens > MOST_TOKENS:
            told = f"{piece} frames of {width}x{height} are {tokens} patches, over the limit of"
            raise ValueError(f"{told} {MOST_TOKENS}; make it smaller or shorter")
