"""Files to tensors and back: nothing changes on the way, and nothing half-written stays behind."""

import base64
import io
import os
import re
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from minisora import codecs
from minisora.codecs import FORMATS, encode
from minisora.credentials import told
from minisora.video import Video, fit, frames_to_tensor, tensor_to_frames

pytestmark = pytest.mark.filterwarnings("ignore:.*is not signed")  # test_credentials has that
ORIGIN = {"prompt": 'a "red" ball, é', "seed": 3}


def clip(t=5, h=24, w=40, fps=8.0, provenance=ORIGIN) -> Video:
    """A bright disc crosses a shaded background; no two of t h w c are equal."""
    y, x = np.mgrid[:h, :w]
    frames = np.stack([y * 200 / h + 20, x * 60 / w + 90, 0 * x + 70], axis=-1)[None].repeat(t, 0)
    for index, frame in enumerate(frames):
        frame[np.hypot(y - h / 2, x - w / 4 - index * w / (2 * t)) < h / 4] = 230, 170, 120
    return Video(frames.astype(np.uint8), fps, provenance)


def message(error) -> str:
    """The text of an error, which must be one line."""
    text = str(error.value)
    assert "\n" not in text and "Traceback" not in text
    return text


# ---- layouts ----


@pytest.mark.parametrize("shape", [(5, 24, 40, 3), (2, 5, 17, 23, 3)])
def test_frames_survive_the_round_trip_exactly(shape):
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    x = frames_to_tensor(frames)
    assert x.dtype == torch.float32
    assert x.shape == (*shape[:-4], 3, *shape[-4:-1])
    assert x.min() == -1 and x.max() == 1
    np.testing.assert_array_equal(tensor_to_frames(x), frames)
    torch.testing.assert_close(frames_to_tensor(torch.from_numpy(frames)), x)


def test_axes_go_where_they_say():
    frames = np.zeros((5, 24, 40, 3), np.uint8)
    frames[1, 2, 3, 0] = 255
    assert frames_to_tensor(frames)[0, 1, 2, 3] == 1


def test_every_level_survives_and_the_rest_is_clamped_and_rounded():
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    np.testing.assert_array_equal(tensor_to_frames(frames_to_tensor(levels)), levels)
    x = torch.tensor([-9.0, 9.0, 0.001]).reshape(3, 1, 1, 1)
    np.testing.assert_array_equal(tensor_to_frames(x).ravel(), [0, 255, 128])
    np.testing.assert_array_equal(tensor_to_frames(x.bfloat16().requires_grad_())[..., 1], 255)


def test_reversed_frames_are_frames():
    backwards = clip().frames[::-1]
    torch.testing.assert_close(frames_to_tensor(backwards), clip().to_tensor().flip(1))


def test_tensor_errors():
    with pytest.raises(ValueError) as error:
        frames_to_tensor(np.zeros((3, 5, 24, 40), np.uint8))
    assert "t h w c" in message(error) and "(3, 5, 24, 40)" in message(error)
    with pytest.raises(ValueError) as error:
        frames_to_tensor(np.zeros((5, 24, 40, 3)))
    assert "uint8" in message(error) and "float64" in message(error)
    with pytest.raises(ValueError) as error:
        tensor_to_frames(torch.zeros(5, 24, 40, 3))
    assert "c t h w" in message(error) and "(5, 24, 40, 3)" in message(error)
    with pytest.raises(ValueError) as error:
        tensor_to_frames(torch.full((3, 1, 2, 2), torch.nan))
    assert "NaN" in message(error)


# ---- the class ----


def test_video_is_an_array_with_a_clock():
    video = clip(t=17, h=24, w=40)
    np.testing.assert_array_equal(np.asarray(video), video.frames)
    assert np.asarray(video, dtype=np.float32).dtype == np.float32
    assert (len(video), video.height, video.width, video.seconds) == (17, 24, 40, 17 / 8)
    np.testing.assert_array_equal(video.image, video.frames[0])
    assert repr(video).startswith("Video(17 frames of 24×40, 8 fps, 'a ")
    assert len(repr(video)) < 120
    assert clip(provenance={"caption": "filmed"}).caption == "filmed"
    assert clip(provenance={}).caption == ""


def test_tensor_and_back():
    video = clip()
    assert video.to_tensor().shape == (3, 5, 24, 40)
    again = Video.from_tensor(video.to_tensor(), fps=12, provenance=ORIGIN)
    np.testing.assert_array_equal(again.frames, video.frames)
    assert (again.fps, again.provenance) == (12.0, ORIGIN)
    with pytest.raises(ValueError):
        Video.from_tensor(torch.zeros(2, 3, 5, 24, 40))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((np.zeros((5, 24, 40), np.uint8),), "t h w c"),
        ((np.zeros((5, 24, 40, 4), np.uint8),), "c = 3"),
        ((np.zeros((0, 24, 40, 3), np.uint8),), "empty"),
        ((np.zeros((5, 24, 40, 3), np.float32),), "float32"),
        ((np.zeros((5, 24, 40, 3), np.uint8), 0), "fps"),
        ((np.zeros((5, 24, 40, 3), np.uint8), float("nan")), "fps"),
        ((np.zeros((5, 24, 40, 3), np.uint8), 8, {"seed": torch.zeros(1)}), "JSON"),
        ((np.zeros((5, 24, 40, 3), np.uint8), 8, None), "dict"),
    ],
)
def test_video_says_what_is_wrong(arguments, expected):
    with pytest.raises(ValueError) as error:
        Video(*arguments)
    assert expected in message(error)


def test_a_notebook_plays_it():
    video = clip(provenance={"prompt": "<b>bold</b>"})
    page = video._repr_html_()
    assert "&lt;b&gt;bold&lt;/b&gt;" in page and "<b>" not in page
    for word in ("autoplay", "loop", "muted", "image-rendering:pixelated"):
        assert word in page
    assert int(re.search(r"height:(\d+)px", page)[1]) >= 256
    data = base64.b64decode(re.search(r"data:video/mp4;base64,([^\"]+)", page)[1])
    with av.open(io.BytesIO(data)) as container:
        assert len(list(container.decode(video=0))) == len(video)


# ---- files ----


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ".webp"])
@pytest.mark.parametrize("size", [(5, 24, 40), (5, 17, 23)])
@pytest.mark.parametrize("scale", [1, 3])
def test_a_file_gives_back_the_video(tmp_path, suffix, size, scale):
    video = clip(*size)
    path = tmp_path / f"a:b%d{suffix}"
    video.save(path, scale=scale)
    again = Video.load(path)
    expected = video.frames.repeat(scale, 1).repeat(scale, 2)
    if suffix in (".mp4", ".webm"):  # half-size colour: the odd side has gained a row
        padding = ((0, 0), (0, expected.shape[1] % 2), (0, expected.shape[2] % 2), (0, 0))
        expected = np.pad(expected, padding, mode="edge")
    assert told(again.provenance) == ORIGIN
    assert again.frames.shape == expected.shape
    assert np.abs(again.frames.astype(float) - expected).mean() < 4
    assert again.fps == video.fps
    assert os.listdir(tmp_path) == [path.name]


def test_webp_and_png_are_exact_and_jpg_is_close(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (5, 17, 23, 3), np.uint8)
    Video(noise).save(tmp_path / "noise.webp")
    np.testing.assert_array_equal(Video.load(tmp_path / "noise.webp").frames, noise)
    for suffix in (".webp", ".png"):
        Video(noise[:1]).save(tmp_path / f"one{suffix}")
        np.testing.assert_array_equal(Video.load(tmp_path / f"one{suffix}").frames, noise[:1])
    for suffix in (".jpg", ".JPEG"):
        clip(t=1).save(tmp_path / f"one{suffix}")
        picture = Video.load(tmp_path / f"one{suffix}")
        assert np.abs(picture.frames.astype(float) - clip(t=1).frames).mean() < 4
        assert picture.fps == 8.0


def test_a_folder_of_pngs_gives_back_the_video(tmp_path):
    video = clip(fps=12.5)
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        video.save(f"{tmp_path / name}{os.sep}", scale=2)
        again = Video.load(tmp_path / name)
        np.testing.assert_array_equal(again.frames, video.frames.repeat(2, 1).repeat(2, 2))
        assert (again.fps, told(again.provenance)) == (12.5, ORIGIN)
        assert len(Video.load(tmp_path / name, max_frames=2)) == 2
        names = sorted(os.listdir(tmp_path / name))
        assert names == [*(f"{i:04d}.png" for i in range(5)), "video.json"]


def test_anybodys_folder_of_pngs(tmp_path):
    for number in (10, 9, 100):
        picture = np.full((1, 4, 6, 3), number, np.uint8)
        (tmp_path / f"frame{number}.png").write_bytes(encode(Video(picture), ".png"))
    (tmp_path / "video.json").write_text("[not ours")
    video = Video.load(tmp_path)
    assert video.frames[:, 0, 0, 0].tolist() == [9, 10, 100] and video.fps == 8.0
    (tmp_path / "frame11.png").write_bytes(encode(clip(t=1), ".png"))  # of another size
    with pytest.raises(ValueError, match="cannot read .*frame11.png|cannot read"):
        Video.load(tmp_path)


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ".webp"])
def test_still_and_single_frame_videos_keep_their_length(tmp_path, suffix):
    for t in (1, 6):
        path = tmp_path / f"still{suffix}"
        Video(clip(t=1).frames.repeat(t, 0)).save(path)
        assert len(Video.load(path)) == t


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ".webp"])
def test_other_speeds(tmp_path, suffix):
    for fps in (1, 4, 12.5, 25):
        clip(t=8, fps=fps).save(tmp_path / f"a{suffix}")
        assert Video.load(tmp_path / f"a{suffix}").fps == pytest.approx(fps, rel=0.05)


def test_gif_and_webp_loop_forever():
    assert b"NETSCAPE2.0\x03\x01\x00\x00" in encode(clip(), ".gif")
    webp = encode(clip(), ".webp")
    loops = webp.index(b"ANIM") + 12
    assert webp[loops : loops + 2] == b"\0\0"


@pytest.mark.parametrize("encoder", [".libvpx-vp9", ".mpeg4"])
def test_mp4_without_x264(tmp_path, monkeypatch, encoder):
    monkeypatch.setattr(av, "codecs_available", {encoder[1:]})
    clip(h=64, w=96).save(tmp_path / "a.mp4")
    again = Video.load(tmp_path / "a.mp4")
    assert again.frames.shape == (5, 64, 96, 3) and told(again.provenance) == ORIGIN
    assert np.abs(again.frames.astype(float) - clip(h=64, w=96).frames).mean() < 4


def test_no_encoder_is_one_line(monkeypatch):
    monkeypatch.setattr(av, "codecs_available", set())
    with pytest.raises(ValueError) as error:
        encode(clip(), ".mp4")
    assert "libx264" in message(error)


def test_a_phone_held_upright(tmp_path):
    frames = clip(t=3, h=48, w=64).frames
    with av.open(str(tmp_path / "phone.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=8, options={"qmin": "1", "qmax": "3"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.set_display_rotation(90)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
    upright = Video.load(tmp_path / "phone.mp4").frames
    assert upright.shape == (3, 64, 48, 3)
    assert np.abs(upright - np.rot90(frames, axes=(1, 2)).astype(float)).mean() < 4


def test_webp_patches_are_laid_over_the_picture_before(tmp_path):
    """Other programs write only what changed, with offsets, transparency and clearing."""
    red, green = np.full((1, 8, 12, 3), (255, 0, 0)), np.full((1, 4, 6, 3), (0, 255, 0))
    parts = [encode(Video(part.astype(np.uint8)), ".webp")[12:] for part in (red, green, green)]

    def little(number, size=3):
        return number.to_bytes(size, "little")

    def chunk(name, body):
        return name + little(len(body), 4) + body

    def patch(left, top, width, height, flags, part):
        place = b"".join(map(little, (left // 2, top // 2, width - 1, height - 1, 125)))
        return chunk(b"ANMF", place + bytes([flags]) + part)

    body = chunk(b"VP8X", b"\x02\0\0\0" + little(11) + little(7)) + chunk(b"ANIM", bytes(6))
    body += patch(0, 0, 12, 8, 0, parts[0])
    body += patch(6, 4, 6, 4, 1, parts[1]) + patch(0, 0, 6, 4, 2, parts[2])
    (tmp_path / "a.webp").write_bytes(chunk(b"RIFF", b"WEBP" + body))
    frames = Video.load(tmp_path / "a.webp").frames
    expected = np.zeros((3, 8, 12, 3))
    expected[:] = 255, 0, 0
    expected[1, 4:, 6:] = 0, 255, 0
    expected[2, 4:, 6:] = 0  # the second patch was to be cleared after its time
    expected[2, :4, :6] = 0, 255, 0
    np.testing.assert_array_equal(frames, expected)


@pytest.mark.parametrize("suffix", [".mp4", ".webp"])
def test_max_frames(tmp_path, suffix):
    clip(t=9).save(tmp_path / f"a{suffix}")
    assert len(Video.load(tmp_path / f"a{suffix}", max_frames=4)) == 4
    assert len(Video.load(tmp_path / f"a{suffix}", max_frames=99)) == 9
    with pytest.raises(ValueError) as error:
        Video.load(tmp_path / f"a{suffix}", max_frames=0)
    assert "max_frames" in message(error)


def test_another_programs_comment_is_not_provenance(tmp_path):
    for comment in ("made with love", "[1, 2]"):
        with av.open(str(tmp_path / "a.mp4"), "w") as container:
            container.metadata["comment"] = comment
            stream = container.add_stream("mpeg4", rate=8)
            stream.height, stream.width = 24, 40
            picture = av.VideoFrame.from_ndarray(clip().frames[0], "rgb24")
            container.mux(stream.encode(picture) + stream.encode())
        assert told(Video.load(tmp_path / "a.mp4").provenance) == {}


# ---- what goes wrong with files ----


def test_save_says_what_is_wrong_and_leaves_nothing(tmp_path):
    for name, problem, expected in (
        ("a.xyz", ValueError, ".mp4"),
        ("a.png", ValueError, "one frame and this video has 5"),
        ("nowhere/a.mp4", ValueError, "no folder"),
        ("nowhere/pictures", ValueError, "no folder"),
    ):
        with pytest.raises(problem) as error:
            clip().save(tmp_path / name)
        assert expected in message(error) and name in message(error)
    for scale in (0, 1.5, float("nan"), 10_000):
        with pytest.raises(ValueError) as error:
            clip().save(tmp_path / "a.mp4", scale=scale)
        assert "scale" in message(error)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    for name in ("full", "file"):
        (tmp_path / "full").mkdir(exist_ok=True)
        (tmp_path / "full" / "mine").touch()
        (tmp_path / "file").touch()
        with pytest.raises(ValueError, match="not empty|it is a file"):
            clip().save(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["file", "full"]
    assert os.listdir(tmp_path / "full") == ["mine"]


def test_an_encoder_that_refuses_is_one_line(tmp_path):
    with pytest.raises(ValueError) as error:
        Video(np.zeros((1, 1, 20000, 3), np.uint8)).save(tmp_path / "wide.webp")
    assert "libwebp" in message(error) and "20000" in message(error)
    assert error.value.__suppress_context__
    assert os.listdir(tmp_path) == []


def test_a_folder_closed_to_writing(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(PermissionError) as error:
        clip().save(tmp_path / "a.mp4")
    assert "a.mp4" in message(error) and "Permission denied" in message(error)


@pytest.mark.parametrize("suffix", list(FORMATS))
def test_a_disk_that_fills_up_leaves_the_old_file_alone(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"the old file")

    def half(self, data):
        with open(self, "wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError) as error:
        clip(t=1).save(path)
    assert error.value.errno == 28
    assert "No space left" in message(error) and str(path) in message(error)
    assert os.listdir(tmp_path) == [path.name]
    with open(path, "rb") as file:
        assert file.read() == b"the old file"
    with pytest.raises(OSError, match="No space left"):
        clip().save(tmp_path / "folder")
    assert os.listdir(tmp_path) == [path.name]


def test_an_encoder_that_dies_half_way_leaves_nothing(tmp_path, monkeypatch):
    def dies(frames, rate):
        yield next(pictures(frames, rate))
        raise OSError(28, "No space left on device")

    pictures = codecs._pictures
    monkeypatch.setattr(codecs, "_pictures", dies)
    for suffix in (".mp4", ".gif", ".webp"):
        with pytest.raises(OSError) as error:
            clip().save(tmp_path / f"a{suffix}")
        assert error.value.errno == 28
    assert os.listdir(tmp_path) == []


def test_load_says_what_is_wrong(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video\n" * 50)
    (tmp_path / "text.txt").write_text("not a video\n" * 50)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "cut.mp4").write_bytes(encode(clip())[:900])
    for size in (16, 30, 46, 60):
        (tmp_path / f"cut{size}.webp").write_bytes(encode(clip(), ".webp")[:size])
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
    for name in ("missing.mp4", "", *os.listdir(tmp_path)):
        with pytest.raises(ValueError) as error:
            Video.load(tmp_path / name)
        assert str(tmp_path / name) in message(error) and "cannot read" in message(error)
        assert type(error.value) is ValueError  # nothing from inside av


# ---- fit ----


@pytest.mark.parametrize("size", [(64, 64), (32, 80), (80, 32), (7, 5), (200, 100)])
def test_fit_keeps_the_subject_in_the_middle_and_undistorted(size):
    y, x = np.mgrid[:90, :150]
    frames = np.zeros((2, 90, 150, 3), np.uint8)
    frames[:, np.hypot(y - 44.5, x - 74.5) < 20] = 255
    small = fit(frames, *size)
    assert small.shape == (2, *size, 3) and small.dtype == np.uint8
    weight = small[0, :, :, 0] / 255
    zoom = max(size[0] / 90, size[1] / 150)
    rows, columns = np.mgrid[: size[0], : size[1]]
    centre = (rows * weight).sum() / weight.sum(), (columns * weight).sum() / weight.sum()
    np.testing.assert_allclose(centre, ((size[0] - 1) / 2, (size[1] - 1) / 2), atol=zoom / 2 + 0.1)
    assert weight.sum() == pytest.approx(np.pi * (20 * zoom) ** 2, rel=0.1)


def test_fit_leaves_a_fitting_clip_alone_and_averages_when_it_shrinks():
    video = clip()
    np.testing.assert_array_equal(fit(video, 24, 40), video.frames)
    stripes = np.zeros((1, 64, 64, 3), np.uint8)
    stripes[:, :, ::2] = 255
    np.testing.assert_allclose(fit(stripes, 16, 16), 127.5, atol=12)


def test_fit_errors():
    with pytest.raises(ValueError) as error:
        fit(clip().frames, 0, 5)
    assert "0 and 5" in message(error)
    with pytest.raises(ValueError):
        fit(clip().frames[0], 8, 8)
