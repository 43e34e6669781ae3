"""Interactive views for notebooks, each with a still picture that survives where no kernel runs.

Only core ipywidgets. A view is shown as a bundle of two: the widget for JupyterLab, and a PNG of
its first state for GitHub, printing and anybody who only reads.
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Iterable, Iterator

import ipywidgets
import numpy as np
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.image import imsave

from minisora.video import Video
from minisora.viz import filmstrip, loss_curve

VIEW = "application/vnd.jupyter.widget-view+json"


def png(picture, scale: int = 1, kind: str = "png") -> bytes:
    """Return a figure, a `h w c` or `h w` uint8 array or a `Video` (as a filmstrip) as PNG bytes.

    Args:
        picture: what to show.
        scale: enlarges an array's pixels, so that they can be counted.
        kind: "png", or "jpeg", a fifth of the size where many frames are to be seen.
    """
    if isinstance(picture, Video):
        picture = filmstrip(picture, every=max(1, len(picture) // 6))
    buffer = io.BytesIO()
    if isinstance(picture, Figure):
        picture.savefig(buffer, format=kind, dpi=80)
        return buffer.getvalue()
    pixels = np.asarray(picture).repeat(scale, 0).repeat(scale, 1)
    imsave(buffer, pixels, format=kind, cmap="gray", vmin=0, vmax=255)
    return buffer.getvalue()


def control(name: str, values) -> ipywidgets.Widget:
    """Make the control that fits the values.

    Args:
        name: its label.
        values: (low, high) or (low, high, start), whole numbers or not: a slider; a list: a menu;
            True or False: a tick box; a text: a text field; a widget stays itself.

    Raises:
        ValueError: anything else.
    """
    label = name.replace("_", " ")
    if isinstance(values, ipywidgets.Widget):
        return values
    if isinstance(values, bool):
        return ipywidgets.Checkbox(values, description=label)
    if isinstance(values, str):
        return ipywidgets.Text(values, description=label, continuous_update=False)
    if isinstance(values, list) and values:
        return ipywidgets.Dropdown(options=values, value=values[0], description=label)
    if not isinstance(values, tuple) or len(values) not in (2, 3):
        raise ValueError(f"{name}: expected (low, high), a list, a bool or a text, got {values!r}")
    low, high, start = values if len(values) == 3 else (*values, values[0])
    whole = all(isinstance(v, int) for v in values)
    if whole:
        return ipywidgets.IntSlider(start, low, high, description=label)
    step = (high - low) / 40
    return ipywidgets.FloatSlider(start, min=low, max=high, step=step, description=label)


def explore(draw: Callable, scale: int = 1, **controls) -> None:
    """Show `draw(**values)` under controls and draw again whenever one of them moves.

    Args:
        draw: returns a figure, a uint8 array `h w c`, or a `Video`, which plays.
        scale: enlarges an array's or a video's pixels.
        controls: one for each argument of `draw`; see `control`.
    """
    knobs = {name: control(name, values) for name, values in controls.items()}
    place = ipywidgets.HTML()
    first = draw(**{name: knob.value for name, knob in knobs.items()})

    def put(picture) -> None:
        if isinstance(picture, Video):
            place.value = picture._repr_html_()
            return
        data = base64.b64encode(png(picture, scale)).decode()
        place.value = f'<img src="data:image/png;base64,{data}" style="max-width:100%">'

    def redraw(_) -> None:
        put(draw(**{name: knob.value for name, knob in knobs.items()}))

    put(first)
    for knob in knobs.values():
        knob.observe(redraw, "value")
    show(ipywidgets.VBox([*knobs.values(), place]), first, scale)


def show(widget: ipywidgets.Widget, still, scale: int = 1, kind: str = "png") -> None:
    """Display a widget together with the still picture that stands in for it elsewhere."""
    picture = base64.b64encode(png(still, scale, kind)).decode()
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    display({VIEW: view, f"image/{kind}": picture, "text/plain": "a view"}, raw=True)


def play(clips: dict[str, Video], columns: int = 5, every: int = 8) -> None:
    """Play named videos side by side; elsewhere show every `every`-th frame, a row for each."""
    named = [Video(clip.frames, clip.fps, {"caption": name}) for name, clip in clips.items()]
    style = f"display: grid; grid-template-columns: repeat({columns}, max-content); gap: 24px"
    style += "; zoom: 0.6; font-size: 22px; line-height: 1.5"
    players = "".join(clip._repr_html_() for clip in named)
    view = ipywidgets.HTML(f'<div style="{style}">{players}</div>')
    show(view, filmstrip(named, every, scale=0.8), kind="jpeg")


def tiles(colors: np.ndarray, on_click: Callable[[int, int], None]) -> ipywidgets.GridBox:
    """Return a grid of coloured buttons to click: colours uint8 `rows columns 3`.

    `on_click` is called with the row and the column.
    """
    rows, columns = colors.shape[:2]
    layout = ipywidgets.Layout(width="34px", height="34px", margin="1px", padding="0")
    buttons = []
    for i in range(rows):
        for j in range(columns):
            button = ipywidgets.Button(layout=layout, tooltip=f"row {i}, column {j}")
            button.style.button_color = "#{:02x}{:02x}{:02x}".format(*colors[i, j])
            button.on_click(lambda _, i=i, j=j: on_click(i, j))
            buttons.append(button)
    across = ipywidgets.Layout(grid_template_columns=f"repeat({columns}, 38px)")
    return ipywidgets.GridBox(buttons, layout=across)


def live(records: Iterable, reference=None, every: float = 1.0, on_draw=None) -> Iterator:
    """Pass training records on while a curve of their losses grows in the notebook.

    Args:
        records: of `train_vae` and the like; each has step, steps, loss and seconds_left.
        reference: (steps, losses) of a run known to work, drawn beside it.
        every: seconds between drawings.
        on_draw: called with the record at each drawing; what it returns is shown below the curve.

    Yields:
        The records.
    """
    steps, losses, drawn = [], [], 0.0
    curve, bar = display(display_id=True), display(display_id=True)
    below = display(display_id=True) if on_draw else None
    for record in records:
        steps.append(record.step)
        losses.append(record.loss)
        yield record
        last = record.step == record.steps
        if time.monotonic() - drawn > every or last:
            curve.update(loss_curve(steps, losses, reference))
            left = "done" if last else f"{record.seconds_left:.0f} s left"
            text = f"step {record.step} of {record.steps}, loss {record.loss:.3f}, {left}"
            bar.update({"text/plain": text}, raw=True)
            if below:
                below.update(on_draw(record))
            drawn = time.monotonic()
