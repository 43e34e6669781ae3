"""Bytes to frames and back: how each kind of file is written and read.

PyAV does it, so no ffmpeg program is needed; it is imported on first use, as most of the package
does without. Only an animated WebP is read by Pillow (matplotlib brings it): FFmpeg 8 cannot.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minisora.credentials import MEDIA, recall, sign, statement, told
from minisora.signer import identity

if TYPE_CHECKING:
    from minisora.video import Video

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
PNGS = "a folder of PNGs"
MOST_SHOWN = 100  # million pixels in a file's frames as enlarged: an encoder holds many frames
ABOUT = "video.json"  # speed and provenance, beside the PNGs of a folder


# ---- writing ----


def check_output(path: Path, t: int, h: int, w: int, scale: int = 1) -> None:
    """Raise a ValueError where t frames of h×w pixels cannot be written, before the work."""
    suffix, parent, full = path.suffix.lower(), path.parent, t * h * w * scale**2 // 10**6
    one = f"{suffix} holds one frame and this video has {t}; write an .mp4, or --frames 1"
    large = f"{full} million pixels are over the limit of {MOST_SHOWN}; make it smaller, shorter or"
    problems = (
        (suffix not in ("", *FORMATS), f"the ending must be one of {ENDINGS}, or none: {PNGS}"),
        (suffix in STILLS and t > 1, one),
        (scale < 1 or scale % 1, f"--scale must be a whole number from 1, not {scale}"),
        (full > MOST_SHOWN, f"{large} less enlarged (--scale)"),
        (not parent.is_dir(), f"there is no folder {parent}; make it first"),
        (path.is_dir() and suffix, "it is a folder"),
        (path.is_dir() and any(path.iterdir()), "the folder is not empty; choose another"),
        (path.exists() and not path.is_dir() and not suffix, f"it is a file; no ending: {PNGS}"),
        (not os.access(parent, os.W_OK), f"{parent} is closed to writing"),
    )
    for wrong, problem in problems:
        if wrong:
            raise ValueError(f"cannot write {path}: {problem}")
    if suffix in MEDIA or not suffix:
        identity()  # makes the key, or says why nothing can be signed


def write(video: Video, path: Path, scale: int = 1, private: bool = False) -> None:
    """Write a clip to a file, or each of its frames as a PNG into an existing folder; signed."""
    shown = replace(video, provenance=statement(video.provenance, private))

    def signed(part: Video, suffix: str) -> bytes:
        data = encode(part, suffix, scale)
        return sign(data, suffix, video.provenance, private) if suffix in MEDIA else data

    if not path.is_dir():
        path.write_bytes(signed(shown, path.suffix.lower()))
        return
    for i, frame in enumerate(video.frames):
        picture = signed(replace(shown, frames=frame[None]), ".png")
        (path / f"{i:04d}.png").write_bytes(picture)
    about = {"fps": video.fps, "provenance": shown.provenance}
    (path / ABOUT).write_text(json.dumps(about, indent=2), encoding="utf-8")


def encode(video: Video, suffix: str = ".mp4", scale: int = 1) -> bytes:
    """Compress a clip in memory: `save` writes these bytes, a notebook embeds them.

    Args:
        video: the clip.
        suffix: a key of `FORMATS`, such as ".mp4" or ".gif".
        scale: whole-number enlargement, each pixel a square.

    Returns:
        The bytes of the file.

    Raises:
        ValueError: when PyAV cannot encode.
    """
    import av

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
                container.metadata["comment"] = json.dumps(told(video.provenance))
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


def _pictures(frames: np.ndarray, rate: Fraction) -> Iterator:
    """Yield PyAV's frames, each with its time."""
    import av

    for index, frame in enumerate(frames):
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts, picture.time_base = index, 1 / rate
        yield picture


def _paletted(pictures: Iterator, height: int, width: int, rate: Fraction) -> Iterator:
    """Yield the pictures in the 256 colours that suit the whole clip, so that none flickers."""
    import av

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


# ---- reading ----


def decode(source: Path, max_frames: int | None = None) -> tuple[np.ndarray, float, dict]:
    """Read the frames (`t h w c` uint8 RGB), the speed and the provenance of a file.

    Args:
        source: an existing file, or a folder of PNGs.
        max_frames: stop after this many frames, 1 or more; None reads all of them.

    Raises:
        ValueError: when the file is not a video, is damaged or has no frames.
    """
    import av

    try:
        if source.is_dir():
            read = _read_folder
        else:
            with open(source, "rb") as file:
                head = file.read(21)
            animated_webp = head[8:16] == b"WEBPVP8X" and head[-1] & 2
            read = _read_webp if animated_webp else _read
        frames, fps, provenance = read(source, max_frames)
        if not frames:
            raise ValueError("there are no frames in it")
        return np.stack(frames), fps, told(provenance) | recall(source)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"cannot read {source}: {reason}; expected a video or picture, {ENDINGS}, or {PNGS}"
        ) from None


def _read(source: Path, max_frames: int | None) -> tuple[list[np.ndarray], float, dict]:
    """Read a file with PyAV."""
    import av

    # "file:" because FFmpeg would take the a of a:b.mp4 for a protocol.
    with av.open(f"file:{source}") as container:
        if not container.streams.video or container.format.name == "tty":  # tty: text, drawn
            return [], DEFAULT_FPS, {}
        container.streams.video[0].thread_type = "AUTO"
        pictures = list(islice(container.decode(video=0), max_frames))
        return list(map(_upright, pictures)), _fps(container, pictures), _provenance(container)


def _read_webp(source: Path, max_frames: int | None) -> tuple[list[np.ndarray], float, dict]:
    """Read an animated WebP with Pillow, what is transparent as black."""
    from PIL import Image, ImageSequence

    frames, seconds = [], 0.0
    with Image.open(source) as animation:
        for picture in islice(ImageSequence.Iterator(animation), max_frames):
            rgba = np.asarray(picture.convert("RGBA"))
            frames.append((rgba[..., :3] * (rgba[..., 3:] / 255)).round().astype(np.uint8))
            seconds += picture.info["duration"] / 1000
    return frames, _whole_fps(len(frames), seconds, tick=0.001), {}


def _read_folder(source: Path, max_frames: int | None) -> tuple[list[np.ndarray], float, dict]:
    """Read a folder of PNGs, anybody's: 2.png comes before 10.png."""
    paths = sorted(source.glob("*.png"), key=lambda path: (len(path.name), path.name))
    frames = [frame for path in paths[:max_frames] for frame in _read(path, 1)[0]]
    about = source / ABOUT
    about = _parsed(about.read_text(encoding="utf-8")) if about.is_file() else {}
    return frames, about.get("fps", DEFAULT_FPS), about.get("provenance", {})


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
    return _parsed(tags.get("comment") or tags.get("COMMENT") or "")  # webm shouts


def _parsed(text: str) -> dict:
    """Return the dict that a JSON text holds, or an empty one."""
    with suppress(ValueError):
        found = json.loads(text)
        return found if isinstance(found, dict) else {}
    return {}
