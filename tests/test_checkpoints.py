"""Weights survive the round trip, damage is told in one line, and no file is half-written."""

import os
import shutil
import stat
import time
from dataclasses import replace

import pytest
import torch
from safetensors import SafetensorError
from torch.testing import assert_close

from minisora import checkpoints
from minisora.checkpoints import (
    cache_folder,
    fingerprint,
    load_model,
    load_progress,
    save_model,
    save_progress,
)
from minisora.dit import DiT, DiTConfig
from minisora.files import UNFINISHED, write_whole
from minisora.vae import VAE, VAEConfig

SMALL = {
    "vae": (VAE, VAEConfig(channels=3, width=8, encoder_depth=1)),
    "dit": (DiT, DiTConfig(channels=3, patch=(1, 2, 4), width=16, depth=1, heads=2)),
}


def small(kind):
    torch.manual_seed(0)
    model_class, config = SMALL[kind]
    model = model_class(config)
    for p in model.parameters():  # zeros would survive anything
        torch.nn.init.normal_(p)
    return model


@pytest.fixture(params=["vae", "dit"])
def saved(request, tmp_path):
    """A kind, its model and the file that holds it."""
    model, path = small(request.param), tmp_path / "a.safetensors"
    save_model(path, model)
    return request.param, model, path


# ---- the round trip ----


def test_only_the_rounding_of_matrices_is_lost(saved):
    kind, model, path = saved
    again = load_model(path, kind)
    assert again.config == model.config  # tuples are tuples again
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    for name, tensor in model.state_dict().items():
        loaded = again.state_dict()[name]
        assert loaded.dtype == torch.float32
        exact = tensor.half().float() if tensor.ndim > 1 else tensor
        assert_close(loaded, exact, rtol=0, atol=0)


def test_without_rounding_it_is_the_same_model(saved):
    kind, model, path = saved
    save_model(path, model, half=False)
    assert fingerprint(load_model(path, kind)) == fingerprint(model)


def test_others_may_read_the_file(saved):
    _, _, path = saved
    open(path.with_name("plain"), "w").close()
    modes = [stat.S_IMODE(os.stat(p).st_mode) for p in (path, path.with_name("plain"))]
    assert modes[0] == modes[1]


def test_any_weight_changes_the_fingerprint():
    model = small("dit")
    before = fingerprint(model)
    assert len(before) == 12 and int(before, 16) >= 0
    assert before == fingerprint(small("dit")) != fingerprint(small("vae"))
    for p in list(model.parameters())[::7]:
        last = p.data.view(-1)[-1:]
        last += 1e-3
        assert fingerprint(model) != before
        last -= 1e-3
        p.data.copy_(dict(small("dit").named_parameters())[name_of(model, p)])
        assert fingerprint(model) == before


def name_of(model, parameter) -> str:
    return next(name for name, p in model.named_parameters() if p is parameter)


# ---- what goes wrong ----


def test_missing_weights_say_how_to_make_them(tmp_path, refuses):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with refuses(str(path), "minisora train vae"):
            load_model(path, "vae")


def test_a_cut_or_foreign_file(saved, refuses):
    kind, _, path = saved
    whole = path.read_bytes()
    for part in (b"", whole[:5], whole[:200], whole[:-1], whole + b"0", b"text " * 99):
        path.write_bytes(part)
        with refuses(str(path), "damaged"):
            load_model(path, kind)


def test_a_flipped_byte_of_the_header_is_told_or_harmless(saved, refuses):
    kind, _, path = saved
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    told = 0
    for place in range(0, header, 23):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            load_model(path, kind)
        except ValueError as error:
            assert "\n" not in str(error) and str(path) in str(error)
            told += 1
    assert told > 5


def test_changed_weights_or_config_are_told(saved, refuses):
    kind, model, path = saved
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for place in (header, (header + len(whole)) // 2, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with refuses(str(path), "changed since it was saved"):
            load_model(path, kind)
    path.write_bytes(whole.replace(b'\\"channels\\": 3', b'\\"channels\\": 4'))
    with refuses(str(path), "changed since it was saved"):
        load_model(path, kind)


def test_another_kind_and_another_shape(saved, refuses):
    kind, model, path = saved
    other = {"vae": "dit", "dit": "vae"}[kind]
    with refuses(f"holds '{kind}'", f"'{other}'"):
        load_model(path, other)
    model.config = replace(model.config, channels=4)
    save_model(path, model)
    with refuses("do not fit", "size mismatch"):
        load_model(path, kind)
    checkpoints.save_tensors(path, {"a": torch.zeros(2)})
    with refuses("something else"):
        load_model(path, kind)
    for config in ('{"heads": 0}', "[]", "{", '{"colour": 1}'):
        checkpoints.save_tensors(path, model.state_dict(), {"kind": kind, "config": config})
        with refuses("do not fit"):
            load_model(path, kind)


# ---- never half-written ----


@pytest.mark.parametrize("problem", [OSError(28, "No space left"), KeyboardInterrupt()])
def test_a_writer_that_dies_leaves_the_old_file_and_nothing_else(tmp_path, problem):
    def dies(temporary):
        temporary.write_text("half of")
        raise problem

    path = tmp_path / "new folder" / "a.txt"
    with pytest.raises(type(problem)):
        write_whole(path, dies)
    assert os.listdir(path.parent) == []
    write_whole(path, lambda temporary: temporary.write_text("old"))
    with pytest.raises(type(problem)) as caught:
        write_whole(path, dies)
    assert not isinstance(problem, OSError) or str(path) in str(caught.value)
    assert os.listdir(path.parent) == ["a.txt"] and path.read_text() == "old"
    write_whole(path, lambda temporary: temporary.write_text("new"))
    assert os.listdir(path.parent) == ["a.txt"] and path.read_text() == "new"


def test_a_folder_is_whole_or_not_there(tmp_path):
    def write(folder, problem=None):
        (folder / "a").write_text("half of")
        if problem:
            raise problem
        (folder / "b").write_text("the rest")

    target = tmp_path / "new"
    for before in ([], ["new"]):  # missing or empty
        with pytest.raises(OSError, match="No space"):
            write_whole(target, lambda p: write(p, OSError(28, "No space left")), folder=True)
        assert os.listdir(tmp_path) == before
        write_whole(target, write, folder=True)
        assert sorted(os.listdir(target)) == ["a", "b"]
        with pytest.raises(OSError, match="not empty"):
            write_whole(target, write, folder=True)
        shutil.rmtree(target)
        target.mkdir()


def test_what_a_killed_writer_left_is_swept_away_a_day_later(tmp_path):
    for name, days in (("old", 2), ("young", 0.5)):
        left = tmp_path / f"{UNFINISHED}{name}"
        left.mkdir()
        (left / "a.txt").write_text("half of")
        os.utime(left, (time.time() - days * 86400,) * 2)
    write_whole(tmp_path / "b.txt", lambda p: p.write_text("whole"))
    assert sorted(os.listdir(tmp_path)) == [f"{UNFINISHED}young", "b.txt"]


def test_a_full_disk_is_an_os_error_whoever_writes(saved, refuses, monkeypatch):
    _, model, path = saved

    def full(error):
        def write(*_, **__):
            raise error("No space left on device")

        return write

    before = path.read_bytes()
    monkeypatch.setattr(checkpoints, "save_file", full(SafetensorError))
    monkeypatch.setattr(torch, "save", full(RuntimeError))
    with refuses(str(path), "No space left", error=OSError):
        save_model(path, model)
    with refuses("a.pt", "No space left", error=OSError):
        save_progress(path.with_name("a.pt"), step=1)
    assert os.listdir(path.parent) == [path.name] and path.read_bytes() == before


# ---- progress ----


def test_progress_comes_back(tmp_path):
    path = tmp_path / "runs" / "a.pt"
    assert load_progress(path) is None
    parts = {"step": 3, "model": {"w": torch.arange(6.0).view(2, 3)}, "list": [{"lr": 0.1}, "text"]}
    save_progress(path, **parts)
    again = load_progress(path)
    assert_close(again.pop("model"), parts.pop("model"), rtol=0, atol=0)
    assert again == parts


def test_damaged_progress_says_what_to_do(tmp_path, refuses):
    path = tmp_path / "a.pt"
    save_progress(path, model=torch.zeros(1000))
    whole = path.read_bytes()
    for part in (b"", whole[:100], whole[: len(whole) // 2], whole[:-1], b"text " * 99):
        path.write_bytes(part)
        with refuses(str(path), "damaged", "delete it"):
            load_progress(path)


def test_the_cache_is_where_the_user_wants_it(monkeypatch, tmp_path):
    monkeypatch.setenv("MINISORA_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("MINISORA_CACHE")
    assert cache_folder().parts[-2:] == (".cache", "minisora")
