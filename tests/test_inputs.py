"""What people bring: any size, speed and length is fitted with a sentence, or refused in a line."""

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from minisora.inputs import LONGEST, bring, nearest_size, picked
from minisora.video import Video


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def clip(t, fps=8.0, h=32, w=48):
    """Frames that are each of one grey, 4 levels brighter than the one before."""
    grey = (np.arange(t) * 4 % 256).astype(np.uint8)
    return Video(np.broadcast_to(grey[:, None, None, None], (t, h, w, 3)).copy(), fps)


def greys(video):
    return (video.frames.mean((1, 2, 3)) / 4).round().astype(int).tolist()


@pytest.mark.filterwarnings("error")
def test_what_fits_is_left_alone():
    frames = noise(5, 32, 48, 3)
    video = bring(Video(frames, provenance={"prompt": "a ball"}))
    np.testing.assert_array_equal(video.frames, frames)
    about = video.provenance
    assert about["name"] == "video" and about["provenance"] == {"prompt": "a ball"}
    assert "fitted" not in about and (about["width"], about["frames"]) == (48, 5)
    assert bring(frames).provenance["sha256"] == about["sha256"]
    assert bring(frames[0]).frames.shape == (1, 32, 48, 3)
    assert bring(frames[:1] // 2).provenance["sha256"] != about["sha256"]


@pytest.mark.parametrize(
    ("size", "fitted"),
    [
        ((64, 64), (64, 64)),
        ((96, 64), (96, 64)),  # not trained on, but near
        ((256, 256), (64, 64)),
        ((640, 480), (80, 48)),  # less is cut off than of a square
        ((1920, 1080), (80, 48)),
        ((1080, 1920), (48, 80)),
        ((1, 1), (64, 64)),
        ((63, 65), (64, 64)),  # odd sizes
    ],
)
def test_the_size_near_its_shape(size, fitted):
    assert nearest_size(*size) == fitted


def test_any_size_is_cropped_and_scaled_and_it_says_how(tmp_path):
    picture = np.zeros((90, 161, 3), np.uint8)
    picture[:, 5:155] = 200  # the middle
    Image.fromarray(picture).save(tmp_path / "photo.png")
    told = "photo.png: the middle 150x90 of 161x90 pixels became 80x48"
    with pytest.warns(UserWarning, match=told):
        video = bring(tmp_path / "photo.png")
    assert video.frames.shape == (1, 48, 80, 3) and video.frames.min() > 150
    assert video.provenance["fitted"] == told.split(": ")[1]
    with pytest.warns(UserWarning, match="became 32x16"):
        assert bring(str(tmp_path / "photo.png"), (32, 16)).frames.shape == (1, 16, 32, 3)


def test_its_speed_becomes_eight_frames_a_second():
    with pytest.warns(UserWarning, match="8 frames a second were picked from 24"):
        video = bring(clip(24, fps=24))
    assert video.fps == 8 and greys(video) == [0, 3, 6, 9, 12, 15, 18, 21]
    with pytest.warns(UserWarning, match="picked from 4"):
        assert greys(bring(clip(3, fps=4))) == [0, 0, 1, 1, 2, 2]
    with pytest.warns(UserWarning, match="picked from 1000"):
        assert len(bring(clip(3, fps=1000))) == 1


def test_frames_of_unequal_length_are_picked_by_their_times(tmp_path):
    frames = [Image.fromarray(frame) for frame in clip(5).frames]
    lengths = [125, 125, 500, 125, 125]
    frames[0].save(
        tmp_path / "a.gif",
        save_all=True,
        append_images=frames[1:],
        duration=lengths,
        optimize=False,
    )
    with pytest.warns(UserWarning, match="8 frames a second were picked"):
        assert greys(bring(tmp_path / "a.gif")) == [0, 1, 2, 2, 2, 2, 3, 4]
    assert picked(np.array([0, 0.12, 0.25, 0.38])).tolist() == [0, 1, 2, 3]  # a gif's rounding


def test_a_phones_rotation_is_undone(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(8))
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        frame = np.zeros((32, 48, 3), np.uint8)
        frame[:, :24] = 255  # the left half is white
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    data = (tmp_path / "a.mp4").read_bytes()
    upright = b"".join(n.to_bytes(4, "big") for n in (1 << 16, 0, 0, 0, 1 << 16))
    turned = b"".join(n.to_bytes(4, "big") for n in (0, 1 << 16, 0, (1 << 32) - (1 << 16), 0))
    place = data.index(b"tkhd")
    place = data.index(upright, place)
    (tmp_path / "a.mp4").write_bytes(data[:place] + turned + data[place + 20 :])
    video = bring(tmp_path / "a.mp4")
    assert video.frames.shape == (5, 48, 32, 3)
    assert abs(video.frames[0, :20].mean() - video.frames[0, 28:].mean()) > 200


def test_what_is_too_long_is_cut(monkeypatch, tmp_path):
    with pytest.warns(UserWarning, match=f"only its first {LONGEST} frames are used"):
        video = bring(clip(LONGEST + 3, h=16, w=16))
    assert len(video) == LONGEST and video.provenance["frames"] == LONGEST + 3
    with pytest.warns(UserWarning, match="only its first frame is used"):
        assert greys(bring(clip(9, fps=30), most=1)) == [0]
    clip(9).save(tmp_path / "a.mp4")
    monkeypatch.setattr("minisora.inputs.MOST_BYTES", 5 * 3 * 32 * 48)
    with pytest.warns(UserWarning, match="a.mp4: only its first 5 frames are used"):
        assert len(bring(tmp_path / "a.mp4")) == 5


def test_our_own_files_come_back(tmp_path):
    video = clip(9)
    for name in ("a.mp4", "a.gif", "a.webp", "a.webm", "pictures"):
        video.save(tmp_path / name, scale=2)
        with pytest.warns(UserWarning, match="^[^;]*: 96x64 pixels became 48x32$"):
            again = bring(tmp_path / name, (48, 32))
        assert len(again) == 9 and abs(again.frames.astype(int) - video.frames).mean() < 3, name
        assert again.provenance["name"] == name


def test_transparency(tmp_path, refuses):
    picture = noise(32, 32, 4)
    Image.fromarray(picture).save(tmp_path / "a.png")
    with refuses("a.png has transparent parts", "flatten it"):
        bring(tmp_path / "a.png")
    picture[..., 3] = 255
    Image.fromarray(picture).save(tmp_path / "b.png")
    np.testing.assert_array_equal(bring(tmp_path / "b.png").frames[0], picture[..., :3])
    with refuses("(32, 32, 4)", "alpha", "array[..., :3]"):
        bring(picture)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("none.mp4", None, "no such file"),
        ("a.mp4", b"", "cannot read"),
        ("a.png", b"not a picture at all", "cannot read"),
        ("a.txt", b"a red ball\n" * 9, "cannot read"),
        ("folder", None, "no frames"),
    ],
)
def test_what_cannot_be_read(tmp_path, refuses, name, content, told):
    (tmp_path / "folder").mkdir()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with refuses(name, told):
        bring(tmp_path / name)


@pytest.mark.parametrize(
    "array", [np.zeros((3, 4)), np.zeros((2, 8, 8, 3)), np.zeros((0, 8, 8, 3))]
)
def test_other_arrays(refuses, array):
    with refuses("t h w c uint8", str(array.shape[-1])):
        bring(array)
