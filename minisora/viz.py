"""Filmstrips, contact sheets and curves: videos where only pictures survive.

Figures are made with matplotlib's objects and never with pyplot, so that nothing here opens a
window or leaves state behind. No other module imports this one.
"""

import io
import textwrap

import numpy as np
from matplotlib.figure import Figure

from minisora.video import Video

GAP = 2  # pixels between tiles


class Picture(Figure):
    """A figure that a notebook shows even when nobody imported pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def filmstrip(videos, every: int = 4, labels=None, scale: float = 1.0) -> Figure:
    """Lay videos out as rows and moments as columns, so that motion reads on paper.

    Args:
        videos: one `Video` or `t h w c` uint8 array, or a list of them; lengths may differ.
        every: show each `every`-th frame, starting with the first.
        labels: one text for each row; None shows the prompts that the videos carry.
        scale: height of a row in inches.

    Returns:
        A figure; seconds (of the first video's clock) stand above the columns.

    Raises:
        ValueError: for `every` below 1, a wrong number of labels, or frames of another layout.
    """
    clips = _as_videos(videos)
    if every < 1:
        raise ValueError(f"every must be 1 or more, got {every}")
    labels = _checked_labels(labels, clips)
    moments = range(0, max(map(len, clips)), every)
    widest = max(clip.width / clip.height for clip in clips)
    margin = 1.6 if any(labels) else 0.2
    size = (scale * widest * len(moments) + margin, scale * len(clips) + 0.3)
    figure = Picture(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    grid = figure.subplots(len(clips), len(moments), squeeze=False)
    for row, clip, label in zip(grid, clips, labels, strict=True):
        for axes, moment in zip(row, moments, strict=True):
            _show(axes, clip.frames[moment] if moment < len(clip) else None)
        row[0].set_ylabel(_wrapped(label, 22), rotation=0, ha="right", va="center", fontsize=8)
    for axes, moment in zip(grid[0], moments, strict=True):
        axes.set_title(f"{moment / clips[0].fps:.2f} s", fontsize=8)
    return figure


def contact_sheet(videos, labels=None, columns: int = 4, frames: int = 4) -> Figure:
    """Show many videos at once, each a small strip above its prompt: a model at a glance.

    Args:
        videos: list of `Video` or `t h w c` uint8 arrays.
        labels: one text for each; None shows the prompts that the videos carry.
        columns: strips side by side.
        frames: moments in a strip, spread evenly from the first frame to the last.

    Raises:
        ValueError: for `columns` or `frames` below 1, a wrong number of labels, or frames of
            another layout.
    """
    clips = _as_videos(videos)
    if columns < 1 or frames < 1:
        raise ValueError(f"columns and frames must be 1 or more, got {columns} and {frames}")
    labels = _checked_labels(labels, clips)
    strips = [_strip(clip, frames) for clip in clips]
    columns = min(columns, len(clips))
    rows = -(-len(clips) // columns)
    width = 3.0
    tallest = max(strip.shape[0] / strip.shape[1] for strip in strips)
    figure = Picture(figsize=(width * columns, (width * tallest + 0.5) * rows), layout="tight")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for index, axes in enumerate(grid):
        _show(axes, strips[index] if index < len(strips) else None)
        if index < len(strips):
            axes.set_xlabel(_wrapped(labels[index], 42), fontsize=8)
    return figure


def loss_curve(steps, losses, reference=None) -> Figure:
    """Plot a training loss, smoothed over the pale raw values, beside the curve to expect.

    Args:
        steps: step numbers.
        losses: one loss for each step.
        reference: (steps, losses) of a run known to work, or None.

    Raises:
        ValueError: when steps and losses differ in length.
    """
    if len(steps) != len(losses):
        raise ValueError(f"expected one loss a step, got {len(steps)} steps, {len(losses)} losses")
    figure = Picture(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    if reference is not None:
        axes.plot(*reference, color="0.5", linestyle="--", linewidth=1, label="reference")
    axes.plot(steps, losses, color="tab:blue", alpha=0.25, linewidth=1)
    axes.plot(steps, _smoothed(losses), color="tab:blue", linewidth=1.8, label="this run")
    axes.set(xlabel="step", ylabel="loss")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def grid_video(videos, columns: int = 4) -> Video:
    """Tile several videos of one size into a single one that plays them together.

    Args:
        videos: list of `Video` or `t h w c` uint8 arrays of equal shape.
        columns: videos side by side; empty places stay white.

    Returns:
        One `Video` at the first one's speed; its provenance lists that of each tile.

    Raises:
        ValueError: for `columns` below 1, or shapes that differ.
    """
    clips = _as_videos(videos)
    shapes = {clip.frames.shape for clip in clips}
    if len(shapes) > 1:
        raise ValueError(f"expected videos of one shape t h w c, got {sorted(shapes)}")
    if columns < 1:
        raise ValueError(f"columns must be 1 or more, got {columns}")
    columns = min(columns, len(clips))
    t, h, w, c = clips[0].frames.shape
    rows = -(-len(clips) // columns)
    canvas = np.full((t, rows * (h + GAP) - GAP, columns * (w + GAP) - GAP, c), 255, np.uint8)
    for index, clip in enumerate(clips):
        top, left = index // columns * (h + GAP), index % columns * (w + GAP)
        canvas[:, top : top + h, left : left + w] = clip.frames
    return Video(canvas, clips[0].fps, {"tiles": [clip.provenance for clip in clips]})


def _as_videos(videos) -> list[Video]:
    """Make a list of `Video` out of one video or array, or of several."""
    one = isinstance(videos, Video) or getattr(videos, "ndim", 5) == 4
    several = [videos] if one else list(videos)
    if not several:
        raise ValueError("expected at least one video, got none")
    return [video if isinstance(video, Video) else Video(np.asarray(video)) for video in several]


def _checked_labels(labels, clips: list[Video]) -> list[str]:
    """Give one label for each video, the prompt where the caller has none."""
    if labels is None:
        return [clip.caption for clip in clips]
    labels = [labels] if isinstance(labels, str) else list(map(str, labels))
    if len(labels) != len(clips):
        raise ValueError(f"expected one label a video, got {len(labels)} for {len(clips)}")
    return labels


def _show(axes, picture: np.ndarray | None) -> None:
    """Draw `h w c` pixels as squares without ticks or frame; None leaves the place empty."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if picture is not None:
        axes.imshow(picture, interpolation="nearest")


def _strip(clip: Video, frames: int) -> np.ndarray:
    """Put evenly spread frames side by side with a white gap, `h w c`."""
    moments = np.linspace(0, len(clip) - 1, frames).round().astype(int)
    tiles = np.pad(clip.frames[moments], ((0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=255)
    return np.concatenate(list(tiles), axis=1)[:, :-GAP]


def _smoothed(losses) -> np.ndarray:
    """Average exponentially over about a fiftieth of the run, without the bias of the start."""
    keep = 1 - 1 / max(1, len(losses) / 50)
    total = weight = 0.0
    means = []
    for loss in losses:
        total, weight = keep * total + float(loss), keep * weight + 1
        means.append(total / weight)
    return np.array(means)


def _wrapped(text: str, width: int) -> str:
    """Break a label into lines; a dollar sign stays a dollar sign, not mathematics."""
    return textwrap.fill(text, width).replace("$", r"\$")
