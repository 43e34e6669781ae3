"""Pictures of videos: what is drawn is what the arrays hold."""

import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from minisora import viz
from minisora.video import Video

PNG = b"\x89PNG"


def clip(level=0, t=9, h=12, w=20, prompt=None) -> Video:
    """Frame i of the clip is filled with `level + i`."""
    frames = np.arange(t, dtype=np.uint8).reshape(t, 1, 1, 1) + np.full((1, h, w, 3), level)
    return Video(frames.astype(np.uint8), 8.0, {"prompt": prompt} if prompt else {})


def drawn(figure: Figure) -> list[np.ndarray]:
    """The pictures of a figure, which must also be savable."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    assert buffer.getvalue()[:4] == PNG
    return [np.asarray(image.get_array()) for axes in figure.axes for image in axes.images]


def test_filmstrip_shows_regular_moments_with_their_times():
    figure = viz.filmstrip([clip(0), clip(100)], every=4, labels=["one", "a long label " * 5])
    assert isinstance(figure, Figure)
    assert [picture[0, 0, 0] for picture in drawn(figure)] == [0, 4, 8, 100, 104, 108]
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["0.00 s", "0.50 s", "1.00 s", "", "", ""]
    assert figure.axes[0].get_ylabel() == "one"
    assert "\n" in figure.axes[3].get_ylabel()


def test_filmstrip_takes_one_video_arrays_and_lengths_that_differ():
    assert len(drawn(viz.filmstrip(clip(prompt="costs $5 or $6")))) == 3
    assert viz.filmstrip(clip(prompt="a ball")).axes[0].get_ylabel() == "a ball"
    assert len(drawn(viz.filmstrip(clip().frames, every=1))) == 9
    assert len(drawn(viz.filmstrip(np.stack([clip().frames] * 2)))) == 6
    assert len(drawn(viz.filmstrip([clip(), clip(t=5)], scale=0.5))) == 5


def test_contact_sheet_puts_a_strip_above_each_prompt():
    videos = [clip(index, prompt=f"prompt {index} " * 8) for index in range(5)]
    figure = viz.contact_sheet(videos, columns=2, frames=3)
    strips = drawn(figure)
    assert len(strips) == 5 and len(figure.axes) == 6
    assert strips[1].shape == (12, 3 * 20 + 2 * viz.GAP, 3)
    np.testing.assert_array_equal(strips[1][0, [0, 22, 44], 0], [1, 5, 9])
    assert figure.axes[1].get_xlabel().replace("\n", " ").startswith("prompt 1 prompt 1")
    assert "\n" in figure.axes[1].get_xlabel()
    assert viz.contact_sheet(videos, labels=list("abcde")).axes[4].get_xlabel() == "e"


def test_loss_curve_smooths_without_bias():
    steps = list(range(500))
    rng = np.random.default_rng(0)
    losses = 2 + 0.3 * rng.standard_normal(500)
    figure = viz.loss_curve(steps, losses, reference=([0, 499], [2, 2]))
    _, raw, smooth = (line.get_ydata() for line in figure.axes[0].lines)
    np.testing.assert_array_equal(raw, losses)
    assert smooth[0] == losses[0]
    assert smooth[50:].std() < raw[50:].std() / 2
    assert abs(smooth[-1] - 2) < 0.3
    for few in ([], [1.0]):
        assert drawn(viz.loss_curve(range(len(few)), few)) == []


def test_grid_video_places_every_tile():
    videos = [clip(level, prompt=str(level)) for level in (0, 50, 100)]
    grid = viz.grid_video(videos, columns=2)
    assert grid.frames.shape == (9, 2 * 12 + viz.GAP, 2 * 20 + viz.GAP, 3)
    assert grid.provenance["tiles"][2] == {"prompt": "100"}
    np.testing.assert_array_equal(grid.frames[:, :12, :20], videos[0].frames)
    np.testing.assert_array_equal(grid.frames[:, :12, -20:], videos[1].frames)
    np.testing.assert_array_equal(grid.frames[:, -12:, :20], videos[2].frames)
    assert (grid.frames[:, -12:, -20:] == 255).all()
    np.testing.assert_array_equal(viz.grid_video(videos[0]).frames, videos[0].frames)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: viz.filmstrip([]), "at least one"),
        (lambda: viz.filmstrip(clip(), every=0), "every"),
        (lambda: viz.filmstrip([clip()], labels=["a", "b"]), "2 for 1"),
        (lambda: viz.filmstrip(np.zeros((9, 12, 20, 1), np.uint8)), "t h w c"),
        (lambda: viz.contact_sheet([clip()], frames=0), "frames"),
        (lambda: viz.contact_sheet([clip()], columns=0), "columns"),
        (lambda: viz.loss_curve([1, 2], [1.0]), "2 steps"),
        (lambda: viz.grid_video([clip(), clip(h=10)]), "(9, 10, 20, 3)"),
        (lambda: viz.grid_video([clip()], columns=-1), "columns"),
    ],
)
def test_errors_are_one_line(call, expected):
    with pytest.raises(ValueError) as error:
        call()
    assert expected in str(error.value) and "\n" not in str(error.value)


def test_no_window_and_no_pyplot():
    code = (
        "import sys, numpy as np; from minisora import viz; "
        "figure = viz.filmstrip(np.zeros((5, 8, 8, 3), np.uint8)); "
        "assert figure._repr_png_()[:4] == b'\\x89PNG'; "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
