"""The clip and its layouts: the only place where pixels become tensors and tensors pixels.

At the edges (decode, plot, encode) a video is `t h w c` uint8. Inside the models it is
`b c t h w` float in [-1, 1].
"""

import base64
import html
import json
import math
import os
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from minisora.codecs import DEFAULT_FPS, check_output, decode, encode, write
from minisora.credentials import READ, kind
from minisora.files import write_whole
from minisora.watermark import embed

LETTERS = {"A": "010101111101101", "I": "111010010010111", "C": "011100100100011"}
LETTERS |= {"G": "011100101101011"}  # of a mark: 5 rows of 3 pixels


@dataclass(eq=False, repr=False)
class Video:
    """A clip with its speed and its origin: what every function here takes and gives back.

    Args:
        frames: `t h w c` uint8 RGB, c = 3, in [0, 255].
        fps: frames per second, above 0.
        provenance: where the clip comes from (prompt, seed, model …); must survive JSON.

    Raises:
        ValueError: when a field is not as described.
    """

    frames: np.ndarray
    fps: float = DEFAULT_FPS
    provenance: dict = field(default_factory=dict)

    def __post_init__(self):
        self.frames = _checked_frames(self.frames)
        self.fps = float(self.fps)
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps must be a number above 0, got {self.fps}")
        try:
            json.dumps(dict(self.provenance))
        except (TypeError, ValueError) as error:
            raise ValueError(f"provenance must be a dict that survives JSON: {error}") from None

    def __array__(self, dtype=None, copy=None):
        return self.frames.astype(dtype or self.frames.dtype, copy=bool(copy))

    def __len__(self) -> int:
        return len(self.frames)

    def __repr__(self) -> str:
        words = f", {self.caption[:60]!r}" if self.caption else ""
        return f"Video({len(self)} frames of {self.height}×{self.width}, {self.fps:g} fps{words})"

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.frames.shape[1]

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.frames.shape[2]

    @property
    def seconds(self) -> float:
        """How long the clip plays, in seconds."""
        return len(self) / self.fps

    @property
    def image(self) -> np.ndarray:
        """The first frame, `h w c` uint8: what `animate` starts from."""
        return self.frames[0]

    @property
    def caption(self) -> str:
        """What the clip is said to show: its prompt, or the caption of a filmed one."""
        return str(self.provenance.get("prompt") or self.provenance.get("caption") or "")

    def to_tensor(self) -> Tensor:
        """Turn the clip into what the models take: `c t h w` float32 in [-1, 1]."""
        return frames_to_tensor(self.frames)

    @classmethod
    def from_tensor(
        cls, x: Tensor, fps: float = DEFAULT_FPS, provenance: dict | None = None
    ) -> "Video":
        """Turn what a model made into a clip.

        Args:
            x: `c t h w` float; values outside [-1, 1] are clamped.
            fps: frames per second.
            provenance: as in `Video`.

        Raises:
            ValueError: for another shape, or for values that are not numbers.
        """
        return cls(tensor_to_frames(x), fps, provenance or {})

    def save(
        self,
        path: str | os.PathLike,
        scale: int = 1,
        private: bool = False,
        mark: bool = False,
        watermark: bool = True,
    ) -> None:
        """Write the clip to a file or a folder of PNGs, whole or not at all, and sign it.

        mp4 and webm are compressed, gif keeps 256 colours, webp and png are exact. mp4 and webm
        need even sizes (an odd one gains a row or column that repeats the edge). An existing file
        is replaced. The file carries the provenance, signed (see `credentials`). Of a folder each
        PNG is; a webm cannot be, and a warning says so.

        Args:
            path: its ending chooses the format: .mp4, .webm, .gif, .webp, .png or .jpg; without an
                ending it is a folder, new or empty, of 0000.png and so on.
            scale: whole-number enlargement, each pixel a square, so that 64×64 can be watched.
            private: keep prompt, seed and the rest of the provenance out of the file, which still
                says that a machine made it.
            mark: draw AI (or CG: computer graphics) in the lower right corner.
            watermark: put the invisible mark into what a model made (see `watermark`).

        Raises:
            ValueError: for another ending, a scale below 1, many frames in a still picture, far too
                many pixels, a folder that is missing, closed to writing or not empty, a file that
                cannot be signed, or a mark on frames that no machine is known to have made.
            OSError: when the disk is full.
        """
        target = Path(path).expanduser()
        check_output(target, *self.frames.shape[:3], scale)
        if target.suffix.lower() == ".webm":
            why = "webm has no place for content credentials; an .mp4 has"
            warnings.warn(f"{target.name} is not signed: {why}", stacklevel=2)
        shown = replace(self, frames=marked(self)) if mark else self
        if watermark and self.provenance.get("model") and READ not in self.provenance:
            about = {**self.provenance, "watermark": 1}  # before it is read and saved again
            shown = Video(embed(shown.frames), self.fps, about)
        try:
            write_whole(target, lambda p: write(shown, p, scale, private), not target.suffix)
        except OSError as error:
            reason = f"{error.strerror}; choose a folder with room and access"
            raise OSError(error.errno, f"cannot write {target}: {reason}") from None

    @classmethod
    def load(cls, path: str | os.PathLike, max_frames: int | None = None) -> "Video":
        """Read a clip, or a picture as a one-frame clip, from a file.

        Args:
            path: mp4, webm, gif, webp, png, jpg, whatever else PyAV decodes, or a folder of PNGs.
            max_frames: stop after this many frames; None reads all of them.

        Returns:
            The clip, RGB and upright (phones store a rotation), with the provenance it was saved
            with, if any, and with the file's credentials, for where it is edited and saved again.
            A picture plays at 8 frames per second.

        Raises:
            ValueError: when the file is missing, is not a video, is damaged or has no frames.
        """
        source = Path(path).expanduser()
        if max_frames is not None and max_frames < 1:
            raise ValueError(f"max_frames must be 1 or more, got {max_frames}")
        if not source.exists():
            raise ValueError(f"cannot read {source}: there is no such file")
        return cls(*decode(source, max_frames))

    def _repr_html_(self) -> str:
        """Play the clip in a notebook: the file travels inside the page and plays there later."""
        zoom = math.ceil(256 / self.height)
        # Twice the size, because 4:2:0 video halves the resolution of colour.
        data = base64.b64encode(encode(self, ".mp4", scale=min(zoom, 2))).decode()
        return (
            f'<figure style="margin:0"><video src="data:video/mp4;base64,{data}" '
            f'style="height:{zoom * self.height}px;image-rendering:pixelated" '
            "autoplay loop muted playsinline></video>"
            f"<figcaption>{html.escape(self.caption)}</figcaption></figure>"
        )


def marked(video: Video) -> np.ndarray:
    """Draw AI or CG, whichever made the clip, in the lower right corner of its frames.

    Raises:
        ValueError: the provenance does not say that a machine made it, or the frames are tiny.
    """
    names = {"trainedAlgorithmicMedia": "AI", "algorithmicMedia": "CG"}
    name, least = names.get(kind(video.provenance)), min(video.height, video.width)
    if name is None or least < 16:
        wanted = "16 pixels or more that a machine is known to have made"
        raise ValueError(f"a mark needs frames of {wanted}")
    zoom = max(1, least // 48)
    letters = [np.array(list(LETTERS[letter]), int).reshape(5, 3) for letter in name]
    rows = np.concatenate([np.pad(letter, 1) for letter in letters], axis=1)
    stamp = np.where(rows, 235, 20).astype(np.uint8).repeat(zoom, 0).repeat(zoom, 1)
    frames = video.frames.copy()
    frames[:, -stamp.shape[0] :, -stamp.shape[1] :] = stamp[..., None]
    return frames


# ---- layouts ----


def frames_to_tensor(frames) -> Tensor:
    """Turn pixels into what the models take.

    Args:
        frames: `t h w c` or `b t h w c` uint8 RGB; an array, a tensor or a `Video`.

    Returns:
        `c t h w` or `b c t h w` float32 in [-1, 1].

    Raises:
        ValueError: for another shape or dtype.
    """
    pixels = np.array(_checked_frames(frames, batch=True), order="C")
    return rearrange(torch.from_numpy(pixels).float() / 127.5 - 1, "... t h w c -> ... c t h w")


def tensor_to_frames(x: Tensor) -> np.ndarray:
    """Turn what a model made into pixels; undoes `frames_to_tensor` exactly.

    Args:
        x: `c t h w` or `b c t h w` float; values outside [-1, 1] are clamped.

    Returns:
        `t h w c` or `b t h w c` uint8.

    Raises:
        ValueError: for another shape, or for values that are not numbers.
    """
    if x.ndim not in (4, 5) or x.shape[-4] != 3:
        raise ValueError(f"expected a tensor (b) c t h w with c = 3, got {tuple(x.shape)}")
    levels = (x.detach().float().cpu() + 1) * 127.5
    if levels.isnan().any():
        raise ValueError("the video holds NaN: the model that made it has diverged")
    return rearrange(levels.clamp(0, 255).round().byte(), "... c t h w -> ... t h w c").numpy()


def fit(frames, height: int, width: int) -> np.ndarray:
    """Crop the middle of a clip to an aspect ratio and resize it, so that any file can be used.

    Args:
        frames: `t h w c` uint8 RGB.
        height: wanted height in pixels.
        width: wanted width in pixels.

    Returns:
        `t height width c` uint8; antialiased, so that shrinking does not make edges flicker.

    Raises:
        ValueError: for another shape or dtype, or a size below 1.
    """
    frames = _checked_frames(frames)
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be 1 or more, got {height} and {width}")
    _, h, w, _ = frames.shape
    crop_h = max(1, min(h, round(w * height / width)))
    crop_w = max(1, min(w, round(h * width / height)))
    top, left = (h - crop_h) // 2, (w - crop_w) // 2
    middle = frames[:, top : top + crop_h, left : left + crop_w]
    # One frame at a time: a minute of full HD as float would not fit in memory.
    return np.stack([_resized(frame, height, width) for frame in middle])


def _resized(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize one `h w c` uint8 picture."""
    x = rearrange(torch.from_numpy(np.array(frame, order="C")).float(), "h w c -> 1 c h w")
    x = F.interpolate(x, (height, width), mode="bilinear", antialias=True)
    return rearrange(x.clamp(0, 255).round().byte(), "1 c h w -> h w c").numpy()


def _checked_frames(frames, batch: bool = False) -> np.ndarray:
    """Give frames back as an array, or say which layout was expected and which came."""
    array = np.asarray(frames)
    right_shape = array.ndim in ((4, 5) if batch else (4,)) and array.shape[-1] == 3
    if array.dtype != np.uint8 or not right_shape or 0 in array.shape:
        layout = "(b) t h w c" if batch else "t h w c"
        raise ValueError(
            f"expected frames {layout} uint8 with c = 3 and no empty side, "
            f"got {array.shape} {array.dtype}"
        )
    return array
