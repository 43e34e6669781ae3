"""Clips, folders and caches: what is filmed once is the same ever after, and drawn fairly."""

import json
import random
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from einops import reduce
from torch.testing import assert_close

from minisora import data, world
from minisora.data import (
    Bucket,
    Size,
    draw_caption,
    film,
    object_cells,
    read_folder,
    scene_from,
    write_folder,
)
from minisora.evaluate import object_mask
from minisora.vae import VAE, VAEConfig
from minisora.video import Video, frames_to_tensor

TINY = dict(frames=5, height=16, width=24)
SIZE = Size(3, **TINY, window=2)


@pytest.fixture
def threads():
    """Set the number of threads, and put it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MINISORA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "data"


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return VAE(VAEConfig(width=8)).eval()


@pytest.fixture
def no_filming(monkeypatch):
    """Call it, and from then on nothing can be filmed."""

    def fail(*_, **__):
        raise AssertionError("filmed again")

    return lambda: monkeypatch.setattr(data, "film", fail)


# ---- filming ----


def test_film_repeats_exactly_and_in_order_whatever_the_threads(threads):
    expected = [world.render(world.sample_scene(seed, "heldout"), **TINY) for seed in range(5, 12)]
    for n in (1, 3):
        threads(n)
        clips = list(film(7, "heldout", first=5, **TINY))
        assert torch.get_num_threads() == n
        assert [scene.seed for scene, _ in clips] == list(range(5, 12))
        for (scene, clip), other in zip(clips, expected, strict=True):
            assert clip.caption == scene.caption == other.caption
            np.testing.assert_array_equal(clip.frames, other.frames)


def test_film_can_be_stopped_and_tells_what_is_wrong(threads, refuses):
    threads(2)
    clips = film(1000, objects=2, **TINY)
    assert len(next(clips)[0].objects) == 2
    clips.close()
    assert torch.get_num_threads() == 2
    with refuses("split"):
        next(film(3, "nowhere"))


# ---- folders ----


def test_a_folder_comes_back(tmp_path):
    texts = ["a red ball", 'quotes ", é and 猫', "odd\u2028line\x85ends"]
    clips = [clip for _, clip in film(3, **TINY, fps=12)]
    files = list(write_folder(tmp_path / "new", zip(texts, clips, strict=True)))
    assert [path.name for path in files] == ["0000.mp4", "0001.mp4", "0002.mp4"]
    rows = read_folder(tmp_path / "new")
    assert rows == list(zip(files, texts, strict=True))
    for (path, _), clip in zip(rows, clips, strict=True):
        again = Video.load(path)
        assert again.frames.shape == (5, 16, 24, 3) and again.fps == 12
        assert np.abs(again.frames.astype(float) - clip.frames).mean() < 6


def test_a_data_set_is_not_overwritten(tmp_path, refuses):
    (tmp_path / "metadata.jsonl").write_text("mine")
    with refuses("exists already", "another folder"):
        next(write_folder(tmp_path, iter([])))


def test_a_foreign_folder_may_have_marks_blank_lines_and_more_columns(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a b.webm").touch()
    row = json.dumps({"id": 3, "file_name": "clips/a b.webm", "text": "a cat"})
    (tmp_path / "metadata.jsonl").write_bytes(b"\xef\xbb\xbf" + f"{row}\r\n\r\n{row}".encode())
    assert read_folder(tmp_path) == [(tmp_path / "clips" / "a b.webm", "a cat")] * 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"file_name": "gone.mp4", "text": "a"}', "gone.mp4 is not there"),
        ('{"file_name": "a.mp4"', "not a row with file_name and text"),
        ('{"file_name": "a.mp4"}', "not a row"),
        ('{"file_name": "a.mp4", "text": null}', "not a row"),
        ('{"file_name": "a.mp4", "text": " "}', "not a row"),
        ('{"file_name": 3, "text": "a"}', "not a row"),
        ('["a.mp4", "a"]', "not a row"),
        ("\udcff\udcfe", "not a row"),
    ],
)
def test_a_bad_row_is_told_with_its_number(tmp_path, refuses, line, words):
    (tmp_path / "a.mp4").touch()
    text = '{"file_name": "a.mp4", "text": "a"}\n\n' + line
    (tmp_path / "metadata.jsonl").write_bytes(text.encode(errors="surrogateescape"))
    with refuses("metadata.jsonl, line 3", words):
        read_folder(tmp_path)


def test_no_metadata_is_told(tmp_path, refuses):
    with refuses(str(tmp_path), "no metadata.jsonl", "data/README.md"):
        read_folder(tmp_path)


# ---- caches ----


def test_pixels_are_filmed_once(empty_cache, no_filming):
    clips = data.pixels(SIZE, first=2)
    expected = np.stack([clip.frames for _, clip in film(3, first=2, **TINY)])
    assert clips.dtype == np.uint8
    np.testing.assert_array_equal(clips, expected)
    data.pixels(SIZE, first=3)
    assert len(list(empty_cache.iterdir())) == 2
    no_filming()
    np.testing.assert_array_equal(data.pixels(SIZE, first=2), expected)
    with pytest.raises(AssertionError):
        data.pixels(SIZE, first=2, split="heldout")


def test_a_bucket_is_filmed_and_compressed_once(empty_cache, no_filming, vae):
    first = data.bucket(vae, SIZE)
    scenes, clips = zip(*film(3, **TINY), strict=True)
    assert first.captions == list(scenes) and (first.share, first.window) == (1.0, 2)
    with torch.no_grad():
        z = vae.encode(frames_to_tensor(np.stack([clip.frames for clip in clips])))
    assert first.latents.dtype == torch.float16
    assert_close(first.latents.float(), z, rtol=0.03, atol=0.03)  # a bf16 machine rounds
    no_filming()
    again = data.bucket(vae, SIZE)
    assert torch.equal(again.latents, first.latents) and again.captions == first.captions
    torch.manual_seed(1)
    with pytest.raises(AssertionError):  # another VAE has other latents
        data.bucket(VAE(vae.config), SIZE)


def test_all_clips_are_compressed_whatever_the_batch(vae):
    clips = [clip for _, clip in film(3, **TINY)]
    one, two = (data.encode_all(vae, iter(clips), 3, batch=n) for n in (1, 2))
    assert one.shape == (3, 16, 2, 2, 3)
    assert_close(one, two, rtol=0.03, atol=0.03)


def test_an_interrupted_filming_leaves_nothing_behind(empty_cache, monkeypatch, vae):
    def dies(*args, **more):
        yield next(film(*args, **more))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(data, "film", dies)
        for work in (lambda: data.pixels(SIZE), lambda: data.bucket(vae, SIZE)):
            with pytest.raises(KeyboardInterrupt):
                work()
    assert not empty_cache.exists() or not list(empty_cache.iterdir())
    assert len(data.pixels(SIZE)) == len(data.bucket(vae, SIZE).latents) == 3


def test_a_scene_survives_json():
    for seed in range(12):
        scene = world.sample_scene(seed, ("train", "heldout")[seed % 2])
        assert scene_from(json.loads(json.dumps(asdict(scene)))) == scene


# ---- drawing ----


def counting(n=4, c=2, t=9, h=3, w=5, window=4) -> Bucket:
    """Latents that say which clip and frame they are: 100·i + frame."""
    values = 100 * torch.arange(n)[:, None] + torch.arange(t)
    latents = values.half()[:, None, :, None, None].expand(n, c, t, h, w)
    return Bucket(latents, [f"clip {i}" for i in range(n)], 1.0, window)


def test_draw_takes_whole_windows_from_inside_and_says_which_begin_a_video():
    z, texts, starts, cells, sources = counting().draw(300, random.Random(0))
    assert cells.shape == (300, 4, 3, 5) and (cells == -1).all()  # of clips not filmed here
    assert z.shape == (300, 2, 4, 3, 5) and z.dtype == torch.float32
    assert (z == z[:, :1, :, :1, :1]).all()
    values = z[:, 0, :, 0, 0].long()
    clip, offset = values[:, 0] // 100, values[:, 0] % 100
    assert (values == (values[:, :1] + torch.arange(4))).all() and offset.max() == 9 - 4
    assert texts == [f"clip {i}" for i in clip]
    assert starts.dtype == torch.bool and starts.equal(offset == 0)
    # two fifths begin at 0 on purpose, and a sixth of the others by chance
    assert 0.4 < starts.float().mean() < 0.6
    assert set(clip.tolist()) == set(range(4)) and set(offset.tolist()) == set(range(6))


def test_draw_repeats_and_takes_a_short_clip_whole():
    one, two = (counting().draw(8, random.Random(3)) for _ in range(2))
    assert torch.equal(one[0], two[0]) and one[1] == two[1] and torch.equal(one[2], two[2])
    for t in (4, 1):
        z, _, starts, *_ = counting(t=t).draw(8, random.Random(0))
        assert z.shape == (8, 2, t, 3, 5) and starts.all()


def test_captions_are_drawn_at_every_level():
    rng = random.Random(0)
    assert draw_caption("a foreign caption", rng) == "a foreign caption"
    scene = world.sample_scene(0, objects=1)
    drawn = [draw_caption(scene, rng) for _ in range(90)]
    assert len(set(drawn)) > 30
    assert all(scene.objects[0].color in text for text in drawn)
    short = [text for text in drawn if "camera" not in text]
    assert 0.1 < len(short) / len(drawn) < 0.5  # all short ones and some of the medium ones
    full = [draw_caption(scene, rng, (0, 0, 1)) for _ in range(30)]
    assert not [text for text in full if "camera" not in text]


def test_a_bucket_may_ask_for_a_number_of_objects():
    counts = [
        {len(s.objects) for s, _ in film(6, **replace(SIZE, objects=n).filmed)} for n in (1, 2)
    ]
    assert counts == [{1}, {2}] and not {"count", "share", "window"} & set(SIZE.filmed)


def test_cells_say_which_object_the_latents_show():
    missed = shown = marked = 0
    for seed in range(6):
        scene = world.sample_scene(seed, objects=1)
        mask = object_mask(scene, 9, 64, 32)
        cells = object_cells(scene, 3, 8, 4) >= 0
        mask = torch.cat([mask[:1].expand(3, -1, -1), mask])
        mask = reduce(mask.float(), "(t p) (h q) (w r) -> t h w", "max", p=4, q=8, r=8) > 0
        missed, shown = missed + (mask & ~cells).sum(), shown + mask.sum()
        marked += cells.sum()
    assert missed < 0.08 * shown and marked < 2 * shown
    assert (object_cells("a clip of somebody's", 2, 3, 4) == -1).all()


def test_of_two_objects_in_a_cell_the_nearest_counts():
    far = world.Thing("sphere", "red", "large", "still", z=-2.0)
    near = world.Thing("cube", "blue", "large", "still", z=1.0)
    for scene, winner in ((world.Scene((far, near)), 1), (world.Scene((near, far)), 0)):
        cells = object_cells(scene, 1, 8, 8)
        assert (cells == winner).sum() > 0
        alone = object_cells(world.Scene((near,)), 1, 8, 8) == 0
        assert (cells[alone] == winner).all()
