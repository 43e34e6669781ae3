"""Views: controls, still pictures, and curves that grow."""

import base64
import io
from dataclasses import dataclass

import ipywidgets
import matplotlib.image
import numpy as np
import pytest

from minisora import widgets
from minisora.video import Video
from minisora.viz import loss_curve


@pytest.fixture
def shown(monkeypatch):
    bundles = []

    class Handle:
        def update(self, *data, **_):
            bundles.append(data[0])

    def display(*data, **_):
        bundles.extend(data)
        return Handle()

    monkeypatch.setattr(widgets, "display", display)
    return bundles


@pytest.mark.parametrize(
    "values, kind",
    [
        ((0, 5), ipywidgets.IntSlider),
        ((0.0, 1.0, 0.5), ipywidgets.FloatSlider),
        (["a", "b"], ipywidgets.Dropdown),
        (True, ipywidgets.Checkbox),
        ("a red ball", ipywidgets.Text),
    ],
)
def test_each_kind_of_values_gets_its_control(values, kind):
    made = widgets.control("frame_number", values)
    assert type(made) is kind and made.description == "frame number"
    assert widgets.control("x", made) is made


def test_values_that_fit_no_control_are_told():
    with pytest.raises(ValueError, match="expected .low, high."):
        widgets.control("frame", {"low": 1})


def test_pictures_become_png():
    clip = Video(np.zeros((5, 16, 24, 3), np.uint8))
    for picture in (clip, loss_curve([1, 2], [2.0, 1.0])):
        assert widgets.png(picture).startswith(b"\x89PNG")
    tile = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    again = matplotlib.image.imread(io.BytesIO(widgets.png(tile, scale=4)))
    assert again.shape[:2] == (8, 12)
    assert (again[::4, ::4, :3] * 255 == tile).all()


def test_exploring_draws_again_when_a_control_moves(shown):
    calls, knob = [], ipywidgets.IntSlider(2, 0, 5)

    def draw(frame):
        calls.append(frame)
        return np.full((2, 2, 3), frame, np.uint8)

    widgets.explore(draw, frame=knob)
    knob.value = 4
    assert calls == [2, 4]
    assert shown[0].keys() >= {widgets.VIEW, "image/png"}


def test_a_video_plays_in_a_view(shown):
    widgets.explore(lambda dark: Video(np.zeros((5, 16, 16, 3), np.uint8)), dark=True)
    assert "image/png" in shown[0]


def test_named_videos_play_side_by_side_with_a_jpeg_for_elsewhere(shown, monkeypatch):
    made, html = [], ipywidgets.HTML
    monkeypatch.setattr(ipywidgets, "HTML", lambda text: made.append(text) or html(text))
    clip = Video(np.zeros((5, 16, 16, 3), np.uint8), provenance={"prompt": "a ball"})
    widgets.play({"one <b>": clip, "two": clip}, columns=2)
    assert made[0].count("<video") == 2 and "one &lt;b&gt;" in made[0]
    assert "a ball" not in made[0] and clip.caption == "a ball"
    assert base64.b64decode(shown[0]["image/jpeg"]).startswith(b"\xff\xd8")


def test_tiles_tell_which_was_clicked():
    clicked = []
    grid = widgets.tiles(np.zeros((2, 3, 3), np.uint8), lambda i, j: clicked.append((i, j)))
    grid.children[4].click()
    assert clicked == [(1, 1)]


@dataclass
class Record:
    step: int
    steps: int = 3
    loss: float = 1.0
    seconds_left: float = 1.0


def test_a_live_curve_passes_every_record_on(shown):
    records = [Record(i) for i in (1, 2, 3)]
    assert list(widgets.live(records, on_draw=lambda r: f"step {r.step}")) == records
    assert "step 3" in shown
