"""What people bring: pictures and clips of any size, speed and length, fitted to the model.

Whatever is changed on the way is told in one sentence (a warning), and again in the provenance.
"""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np

from minisora.codecs import DEFAULT_FPS
from minisora.video import Video, fit

SIZES = ((64, 64), (80, 48), (48, 80))  # width and height of what the shipped weights learnt from
LONGEST = 481  # frames that are taken of an input: a minute
MOST_BYTES = 2e9  # of the pictures of a file that are held at their own size
Source = str | os.PathLike | Video | np.ndarray


def bring(source: Source, size: tuple[int, int] | None = None, most: int = LONGEST) -> Video:
    """Read a picture or clip and make it one that the model takes.

    Its frames are picked by their times for 8 a second, cut after `most`, cropped in the middle to
    the wanted aspect ratio, and scaled.

    Args:
        source: a file (mp4, webm, gif, webp, png, jpg or a folder of PNGs), a `Video`, or an array
            `t h w c` or `h w c` uint8 RGB.
        size: width and height in pixels; None keeps a size that fits, or takes the one of `SIZES`
            that is nearest in shape.
        most: frames to take.

    Returns:
        A `Video` of 8 frames a second whose provenance says what it was and what was done.

    Raises:
        ValueError: it cannot be read, has another layout, or has transparent parts.
    """
    name, clip, times = read(source, most)
    about = dict(name=name, frames=len(times), width=clip.width, height=clip.height, fps=clip.fps)
    picks, told = picked(times) if most > 1 else np.arange(len(times)), []
    if most > 1 and not np.array_equal(picks, np.arange(len(times))):
        told.append(f"{DEFAULT_FPS:g} frames a second were picked from {clip.fps:.4g}")
    if len(picks) > most or len(times) > len(clip):
        picks = picks[picks < len(clip)][:most]
        told.append("only its first " + (f"{len(picks)} frames are" if most > 1 else "frame is"))
        told[-1] += " used"
    width, height = size or nearest_size(clip.width, clip.height)
    frames = clip.frames[picks]
    if (width, height) != (clip.width, clip.height):
        frames = fit(frames, height, width)
        scale = max(width / clip.width, height / clip.height)
        same = clip.width * height == clip.height * width
        crop = "" if same else f"the middle {width / scale:.0f}x{height / scale:.0f} of "
        told.append(f"{crop}{clip.width}x{clip.height} pixels became {width}x{height}")
    if told:
        about["fitted"] = "; ".join(told)
        warnings.warn(f"{name}: {about['fitted']}", stacklevel=2)
    about["sha256"] = sha256(frames.tobytes()).hexdigest()[:12]
    if clip.provenance:
        about["provenance"] = clip.provenance
    return Video(frames, DEFAULT_FPS, about)


def picked(times: np.ndarray) -> np.ndarray:
    """Return which frames, shown at these times in seconds, are on the screen 8 times a second."""
    even = np.arange(len(times))
    if len(times) < 2 or abs(times - even / DEFAULT_FPS).max() < 0.25 / DEFAULT_FPS:
        return even
    seconds = times[-1] + np.median(np.diff(times))  # the last frame is shown too
    moments = np.arange(max(1, round(seconds * DEFAULT_FPS))) / DEFAULT_FPS
    return np.searchsorted(times, moments + 1e-3, "right") - 1


def read(source: Source, most: int) -> tuple[str, Video, np.ndarray]:
    """Return an input's name, its frames (the first ones of a large file), and all their times."""
    if isinstance(source, str | os.PathLike):
        path = Path(source).expanduser()
        times, room = probe(path)
        room = 1 if most == 1 else room
        clip = Video.load(path, room)
        count = max(len(times), len(clip)) if len(clip) == room else len(clip)
        even = np.arange(count) / clip.fps
        uneven = len(times) == count and abs(times - even).max() > 0.25 / clip.fps
        return path.name, clip, times if uneven else even
    if isinstance(source, Video):
        return "video", source, np.arange(len(source)) / source.fps
    array = np.asarray(source)
    if array.ndim in (3, 4) and array.shape[-1] == 4:
        raise ValueError(f"an array of {array.shape} has an alpha channel: give array[..., :3]")
    clip = Video(array[None] if array.ndim == 3 else array)
    return "array", clip, np.arange(len(clip)) / clip.fps


def probe(path: Path) -> tuple[np.ndarray, int | None]:
    """Return when each frame of a file is shown, in seconds, and how many of them memory holds.

    What cannot be opened here has no times; `Video.load` tells what is wrong with it.

    Raises:
        ValueError: the first frame has transparent parts.
    """
    import av

    times, room, clear = np.zeros(0), None, False
    with suppress(av.error.FFmpegError, OSError, IndexError), av.open(f"file:{path}") as container:
        stream = container.streams.video[0]
        stamps = [p.pts for p in container.demux(stream) if p.size and p.pts is not None]
        times = (np.sort(np.array(stamps, float)) - min(stamps, default=0)) * stream.time_base
        room = max(1, int(MOST_BYTES // max(1, 3 * stream.width * stream.height)))
    with suppress(av.error.FFmpegError, OSError, StopIteration, IndexError, ValueError):
        with av.open(f"file:{path}") as container:
            picture = next(container.decode(video=0))
            clear = any(part.is_alpha for part in picture.format.components)
            clear = clear and picture.to_ndarray(format="rgba")[..., 3].min() < 255
    if clear:
        raise ValueError(f"{path} has transparent parts: flatten it onto a background first")
    return times.astype(float), room


def nearest_size(width: int, height: int) -> tuple[int, int]:
    """Return the size itself where it fits and is not far from `SIZES`, else the nearest shape."""
    if width % 16 == 0 == height % 16 and width * height <= 2 * max(w * h for w, h in SIZES):
        return width, height
    return min(SIZES, key=lambda size: abs(np.log(size[0] / size[1] * height / width)))
