"""Files to tensors and back, and the only place where layouts convert.

At the edges (decode, plot, encode) a video is `t h w c` uint8. Inside the models it is
`b c t h w` float in [-1, 1]. PyAV reads and writes every file, so no ffmpeg program is needed.
"""

import base64
import html
import io
import json
import math
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

DEFAULT_FPS = 8.0  # what minisora films and generates at; also given to a still picture
BT601 = 5  # FFmpeg's number for the colour matrix its RGB conversion uses: tagged, players agree


@dataclass(frozen=True)
class Format:
    """How one kind of file is written."""

    muxer: str  # FFmpeg's name of the container
    pixels: str  # pixel format
    encoders: dict[str, dict]  # options of each, close to lossless; the first one there is used
    muxer_options: dict = field(default_factory=dict)


VP9 = {"libvpx-vp9": {"crf": "14", "b": "0"}}
# Some builds of PyAV lack libx264. Browsers play H.264 and VP9 but not mpeg4: it comes last.
H264 = {"libx264": {"crf": "14"}, "libopenh264": {"b": "4M"}}
MPEG4 = {"mpeg4": {"qmin": "1", "qmax": "3", "b": "20M"}}
JPEG = Format("image2pipe", "yuvj444p", {"mjpeg": {"qmin": "1", "qmax": "2"}})
FORMATS = {
    ".mp4": Format("mp4", "yuv420p", H264 | VP9 | MPEG4),
    ".webm": Format("webm", "yuv420p", VP9),
    ".gif": Format("gif", "pal8", {"gif": {}}, {"loop": "0"}),
    # libwebp, not libwebp_anim: the latter merges equal frames, so a still video loses its length.
    ".webp": Format("webp", "bgra", {"libwebp": {"lossless": "1"}}, {"loop": "0"}),
    ".png": Format("image2pipe", "rgb24", {"png": {}}),
    ".jpg": JPEG,
    ".jpeg": JPEG,
}
STILLS = (".png", ".jpg", ".jpeg")
ENDINGS = ", ".join(FORMATS)


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

    def save(self, path: str | os.PathLike, scale: int = 1) -> None:
        """Write the clip to a file, whole or not at all.

        mp4 and webm are compressed, gif keeps 256 colours, webp and png are exact. mp4 and webm
        need even sizes (an odd one gains a row or column that repeats the edge), and they alone
        carry the provenance. An existing file is replaced.

        Args:
            path: its ending chooses the format: .mp4, .webm, .gif, .webp, .png or .jpg.
            scale: whole-number enlargement, each pixel a square, so that 64×64 can be watched.

        Raises:
            ValueError: for an unknown ending, a scale below 1, or many frames in a still picture.
            OSError: when the folder is missing, closed to writing or full.
        """
        target = Path(path).expanduser()
        suffix = target.suffix.lower()
        if suffix not in FORMATS:
            raise ValueError(f"cannot write {target}: the ending must be one of {ENDINGS}")
        if suffix in STILLS and len(self) > 1:
            raise ValueError(
                f"cannot write {target}: {suffix} holds one frame and this video has {len(self)}; "
                "save it as .mp4, .webm, .gif or .webp, or save Video(video.frames[:1])"
            )
        if not target.parent.is_dir():
            raise FileNotFoundError(
                f"cannot write {target}: there is no folder {target.parent}; make it first"
            )
        _write_whole(target, encode(self, suffix, scale))

    @classmethod
    def load(cls, path: str | os.PathLike, max_frames: int | None = None) -> "Video":
        """Read a clip, or a picture as a one-frame clip, from a file.

        Args:
            path: mp4, webm, gif, webp, png, jpg, or whatever else PyAV decodes.
            max_frames: stop after this many frames; None reads all of them.

        Returns:
            The clip, RGB and upright (phones store a rotation), with the provenance it was saved
            with, if any. A picture plays at 8 frames per second.

        Raises:
            ValueError: when the file is missing, is not a video, is damaged or has no frames.
        """
        source = Path(path).expanduser()
        if max_frames is not None and max_frames < 1:
            raise ValueError(f"max_frames must be 1 or more, got {max_frames}")
        if not source.is_file():
            raise ValueError(f"cannot read {source}: there is no such file")
        try:
            frames, fps, provenance = _decode(source, max_frames)
            if not frames:
                raise ValueError("there are no frames in it")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(
                f"cannot read {source}: {reason}; expected a video or picture, {ENDINGS}"
            ) from None
        return cls(np.stack(frames), fps, provenance)

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


# ---- writing ----


def encode(video: Video, suffix: str = ".mp4", scale: int = 1) -> bytes:
    """Compress a clip in memory: `save` writes these bytes, a notebook embeds them.

    Args:
        video: the clip.
        suffix: a key of `FORMATS`, such as ".mp4" or ".gif".
        scale: whole-number enlargement, each pixel a square.

    Returns:
        The bytes of the file.

    Raises:
        ValueError: for a scale below 1, or when PyAV cannot encode.
    """
    if scale != int(scale) or scale < 1:
        raise ValueError(f"scale must be a whole number, 1 or more, got {scale}")
    target = FORMATS[suffix]
    name = next((name for name in target.encoders if name in av.codecs_available), None)
    if name is None:
        raise ValueError(f"this PyAV cannot write {suffix}: it lacks {', '.join(target.encoders)}")
    frames = video.frames.repeat(int(scale), axis=1).repeat(int(scale), axis=2)
    rate = max(Fraction(video.fps).limit_denominator(1001), Fraction(1, 1001))
    buffer = io.BytesIO()
    try:
        with av.open(buffer, "w", format=target.muxer, options=target.muxer_options) as container:
            stream = container.add_stream(name, rate=rate, options=target.encoders[name])
            stream.pix_fmt = target.pixels
            if target.pixels == "yuv420p":
                frames = _evened(frames)
                stream.codec_context.colorspace = BT601
                container.metadata["comment"] = json.dumps(video.provenance)
            _encode_into(container, stream, frames, rate)
    except av.error.FFmpegError as error:
        raise ValueError(
            f"{name} could not encode frames {frames.shape} as {suffix}: {error.strerror}"
        ) from None
    return buffer.getvalue()


def _evened(frames: np.ndarray) -> np.ndarray:
    """Repeat the last row or column of odd-sized frames: half-size colour needs even sides."""
    _, h, w, _ = frames.shape
    return np.pad(frames, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="edge")


def _encode_into(container, stream, frames: np.ndarray, rate: Fraction) -> None:
    """Compress frames into one stream of an open container."""
    stream.height, stream.width = frames.shape[1:3]
    pictures = _pictures(frames, rate)
    if stream.pix_fmt == "pal8":
        pictures = _paletted(pictures, stream.height, stream.width, rate)
    for picture in pictures:
        container.mux(stream.encode(picture))
    container.mux(stream.encode())


def _pictures(frames: np.ndarray, rate: Fraction) -> Iterator[av.VideoFrame]:
    """Yield PyAV's frames, each with its time."""
    for index, frame in enumerate(frames):
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts, picture.time_base = index, 1 / rate
        yield picture


def _paletted(pictures: Iterator, height: int, width: int, rate: Fraction) -> Iterator:
    """Yield the pictures in the 256 colours that suit the whole clip, so that none flickers."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format="rgb24", time_base=1 / rate)
    split, palette = graph.add("split"), graph.add("palettegen")
    use, sink = graph.add("paletteuse"), graph.add("buffersink")
    source.link_to(split)
    split.link_to(use)
    split.link_to(palette, 1)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    for picture in pictures:
        source.push(picture)
    source.push(None)
    with suppress(av.error.EOFError):
        while True:
            yield sink.pull()


def _write_whole(target: Path, data: bytes) -> None:
    """Write beside the target, then rename: a full disk leaves no half of a file behind."""
    temporary = target.with_name(f".{uuid.uuid4().hex}{target.suffix}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, target)
    except OSError as error:
        reason = f"cannot write {target}: {error.strerror}; choose a folder with room and access"
        raise OSError(error.errno, reason) from None
    finally:
        temporary.unlink(missing_ok=True)


# ---- reading ----


def _decode(source: Path, max_frames: int | None) -> tuple[list[np.ndarray], float, dict]:
    """Read the frames, the speed and the provenance of a file."""
    with open(source, "rb") as file:
        head = file.read(21)
    if head[8:16] == b"WEBPVP8X" and head[-1] & 2:
        pairs = list(islice(_webp_frames(source.read_bytes()), max_frames))
        seconds = sum(duration for _, duration in pairs)
        return [frame for frame, _ in pairs], _whole_fps(len(pairs), seconds, tick=0.001), {}
    # "file:" because FFmpeg would take the a of a:b.mp4 for a protocol.
    with av.open(f"file:{source}") as container:
        if not container.streams.video or container.format.name == "tty":  # tty: text, drawn
            return [], DEFAULT_FPS, {}
        container.streams.video[0].thread_type = "AUTO"
        pictures = list(islice(container.decode(video=0), max_frames))
        return list(map(_upright, pictures)), _fps(container, pictures), _provenance(container)


def _upright(picture) -> np.ndarray:
    """Give the RGB array of a decoded frame, turned as its file says."""
    return np.rot90(picture.to_ndarray(format="rgb24"), k=picture.rotation // 90)


def _fps(container, pictures: list) -> float:
    """Find the speed of an open file, in frames per second."""
    stream, kind = container.streams.video[0], container.format.name
    if kind == "image2" or kind.endswith("_pipe"):  # a still picture has no clock
        return DEFAULT_FPS
    if kind == "gif":
        seconds = sum(picture.duration * picture.time_base for picture in pictures)
        return _whole_fps(len(pictures), float(seconds), tick=0.01)
    return float(stream.average_rate or stream.guessed_rate or DEFAULT_FPS)


def _whole_fps(count: int, seconds: float, tick: float) -> float:
    """Undo a format's rounding of times to ticks: prefer the whole rate that explains them."""
    if seconds <= 0:
        return DEFAULT_FPS
    whole = max(1, round(count / seconds))
    return float(whole) if abs(count / whole - seconds) <= tick else count / seconds


def _provenance(container) -> dict:
    """Read what `save` left in the comment; anyone else's comment is not ours to interpret."""
    tags = container.metadata
    with suppress(ValueError):
        found = json.loads(tags.get("comment") or tags.get("COMMENT") or "")  # webm shouts
        return found if isinstance(found, dict) else {}
    return {}


def _webp_frames(data: bytes) -> Iterator[tuple[np.ndarray, float]]:
    """Yield each frame of an animated WebP with its seconds: FFmpeg reads only still ones.

    The layout is that of the WebP container specification (Google, 2011): VP8X states the size,
    each ANMF is a patch to lay over the picture before it.
    """
    canvas = np.zeros((1 + _int24(data, 27), 1 + _int24(data, 24), 3), np.uint8)
    for kind, body in _riff_chunks(data[12:]):
        if kind != b"ANMF":
            continue
        left, top = 2 * _int24(body, 0), 2 * _int24(body, 3)
        patch = _still_webp(body)
        region = canvas[top : top + patch.shape[0], left : left + patch.shape[1]]
        overwrite, clear_after = body[15] & 2, body[15] & 1
        alpha = 1.0 if overwrite else patch[..., 3:] / 255
        region[:] = (region * (1 - alpha) + patch[..., :3] * alpha).round()
        yield canvas.copy(), _int24(body, 12) / 1000
        if clear_after:
            region[:] = 0


def _still_webp(body: bytes) -> np.ndarray:
    """Decode the patch of one ANMF chunk, `h w 4` uint8, by wrapping it as a picture of its own."""
    alpha_flag = b"\x10\0\0\0"
    header = b"VP8X" + (10).to_bytes(4, "little") + alpha_flag + body[6:12]
    content = b"WEBP" + header + body[16:]
    still = io.BytesIO(b"RIFF" + len(content).to_bytes(4, "little") + content)
    with av.open(still, format="webp_pipe") as container:
        for picture in container.decode(video=0):
            return picture.to_ndarray(format="rgba")
    raise ValueError("it is damaged")


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the body of each chunk; bodies are padded to even lengths."""
    start = 0
    while start + 8 <= len(data):
        size = int.from_bytes(data[start + 4 : start + 8], "little")
        yield data[start : start + 4], data[start + 8 : start + 8 + size]
        start += 8 + size + size % 2


def _int24(data: bytes, start: int) -> int:
    """Read WebP's three-byte number."""
    return int.from_bytes(data[start : start + 3], "little")
