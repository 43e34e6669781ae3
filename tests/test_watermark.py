"""The invisible mark: it is found in whatever became of a marked file, and nowhere else."""

import io

import av
import numpy as np
import pytest
from PIL import Image

from minisora import world
from minisora.cli import main
from minisora.credentials import read
from minisora.verify import report
from minisora.video import Video
from minisora.watermark import ALARM, detect, embed

MADE = {"model": "0123456789ab", "prompt": "a red ball"}


def film(seed, frames=9, height=64, width=64):
    return world.render(world.sample_scene(seed), frames=frames, height=height, width=width)


@pytest.fixture(scope="module")
def marked():
    return embed(film(1).frames)


def larger(frames, scale=4):
    return frames.repeat(scale, 1).repeat(scale, 2)


def again(frames, crf):
    """Compress frames as any web site does."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=8, options={"crf": str(crf)})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def jpeg(frame, quality):
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))[None]


def fitted(frames, height, width):
    return np.stack([Image.fromarray(f).resize((width, height)) for f in frames])


def test_it_cannot_be_seen(marked):
    error = np.square(marked.astype(float) - film(1).frames).mean()
    assert 10 * np.log10(255**2 / error) > 43
    assert marked.dtype == np.uint8 and marked.shape == film(1).frames.shape


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: x[4:5],
        lambda x: again(larger(x), 28),
        lambda x: again(again(larger(x), 23), 28),
        lambda x: again(fitted(larger(x), 200, 200), 23),
        lambda x: again(larger(x)[:, 8:, 16:], 23),
        lambda x: jpeg(larger(x)[0], 50),
        lambda x: np.clip(x * 1.1, 0, 255).astype(np.uint8),
    ],
    ids=["whole", "a frame", "h264", "twice", "resized", "cropped", "jpeg", "brighter"],
)
def test_it_stays(marked, change):
    assert detect(change(marked)).found


def test_it_tells_size_and_crop(marked):
    mark = detect(larger(marked)[:, 8:, 16:])
    assert mark.scale == 4 and mark.shift == (1, 2)


@pytest.mark.parametrize("size", [(48, 80), (96, 160), (272, 304)])
def test_other_sizes(size):
    frames = film(2, 5, *size).frames
    assert detect(embed(frames)).found and not detect(frames).found


def test_it_is_not_found_where_it_is_not():
    marks = [detect(film(seed).frames) for seed in range(3, 33)]
    assert not any(mark.found for mark in marks) and min(m.chance for m in marks) > 3 * ALARM


def test_frames_that_say_nothing():
    for frames in (np.zeros((1, 64, 64, 3)), np.full((2, 64, 64, 3), 255), np.zeros((1, 8, 8, 3))):
        assert not detect(frames.astype(np.uint8)).found


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp", ".png", ".jpg", ".webm", ""])
@pytest.mark.filterwarnings("ignore:.*not signed")
def test_what_a_model_made_is_saved_with_it(tmp_path, suffix):
    frames, path = film(1).frames, tmp_path / f"made{suffix}"
    frames = frames[:1] if suffix in (".png", ".jpg") else frames
    Video(frames, provenance=MADE).save(path, scale=4)
    assert detect(Video.load(path).frames).found
    if suffix not in (".webm", ""):
        assert "watermark" in report(path)[0]
        Video.load(path).save(tmp_path / f"copy{suffix}")  # is not marked twice
        note = read(tmp_path / f"copy{suffix}")[0]
        assert note["validation_state"] == "Valid"


def test_a_file_read_and_saved_is_not_marked_twice(tmp_path):
    Video(film(1).frames, provenance=MADE).save(tmp_path / "one.webp")
    once = Video.load(tmp_path / "one.webp")
    once.save(tmp_path / "two.webp")
    assert np.array_equal(Video.load(tmp_path / "two.webp").frames, once.frames)


def test_what_is_saved_without_it(tmp_path):
    film(1).save(tmp_path / "film.webp")
    Video(film(1).frames, provenance=MADE).save(tmp_path / "made.webp", watermark=False)
    for name in ("film.webp", "made.webp"):
        assert np.array_equal(Video.load(tmp_path / name).frames, film(1).frames)


def test_the_command(tmp_path, capsys):
    Video(film(1).frames, provenance=MADE).save(tmp_path / "made.mp4")
    film(1).save(tmp_path / "film.mp4")
    for names, code, told in ((["made"], 0, "its mark is in"), (["made", "film"], 1, "no mark")):
        with pytest.raises(SystemExit) as stop:
            main(["detect", *(str(tmp_path / f"{name}.mp4") for name in names)])
        assert stop.value.code == code and told in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["detect", str(tmp_path / "none.mp4")])
    assert stop.value.code == 2 and "there is no such file" in capsys.readouterr().err
