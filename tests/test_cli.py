"""The command line: files as asked for, and one line on stderr for whatever is wrong."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from minisora import cli, presets, recipes, train, world
from minisora.checkpoints import cache_folder, fingerprint, load_model, load_progress
from minisora.cli import main
from minisora.data import read_folder
from minisora.files import UNFINISHED
from minisora.vae import VAE
from minisora.video import Video

SMALL = ["--size", "48x32", "--frames", "5", "--steps", "2", "--seed", "3"]


def run(*words, **more):
    """Run Python in a process of its own."""
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, **more
    )


def refused(capsys, *words) -> str:
    """The one line of a command that ends with status 2."""
    with pytest.raises(SystemExit) as stop:
        main([*map(str, words)])
    out, err = capsys.readouterr()
    assert stop.value.code == 2
    assert re.fullmatch(r"minisora: error: .+\n", err), err
    return err


# ---- generate ----


@pytest.mark.parametrize(
    ("name", "more", "shape"),
    [
        ("a.mp4", [], (5, 128, 192, 3)),
        ("b.gif", ["--scale", "1"], (5, 32, 48, 3)),
        ("c.png", ["--frames", "1", "--scale", "3"], (1, 96, 144, 3)),
        ("d.webp", ["--solver", "heun", "--negative", "a cube", "--scale", "2"], (5, 64, 96, 3)),
    ],
)
def test_generate_writes_the_file_it_was_asked_for(weights, tmp_path, capsys, name, more, shape):
    path = tmp_path / name
    main(["generate", "a red ball", "-o", str(path), "--weights", str(weights), *SMALL, *more])
    assert Video.load(path).frames.shape == shape
    assert os.listdir(tmp_path) == [name]
    out, err = capsys.readouterr()
    assert "'a red ball'" in out and f"{path}: " in out and "seed 3" in out
    assert err == ""


def test_generate_a_folder_of_pngs(weights, sora, tmp_path):
    words = ["generate", "a red ball", "--weights", str(weights), *SMALL, "--scale", "2"]
    main([*words, "-o", f"{tmp_path / 'pictures'}/"])
    assert len(list((tmp_path / "pictures").glob("000?.png"))) == 5
    video = Video.load(tmp_path / "pictures")
    assert video.frames.shape == (5, 64, 96, 3) and video.provenance["model"] == sora.model


def test_generate_in_a_process_of_its_own(weights, sora, tmp_path):
    command = ["-m", "minisora.cli", "generate", "a red ball", "--weights", weights, *SMALL]
    done = run(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    video = Video.load(tmp_path / "out.mp4")
    assert video.frames.shape == (5, 4 * 32, 4 * 48, 3)
    about = video.provenance
    assert (about["prompt"], about["seed"], about["model"]) == ("a red ball", 3, sora.model)
    failed = run(*command, "-o", "nowhere/a.mp4", cwd=tmp_path)
    assert failed.returncode == 2 and failed.stdout == ""
    assert re.fullmatch(r"minisora: error: .*nowhere.*\n", failed.stderr)
    assert os.listdir(tmp_path) == ["out.mp4"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["", *SMALL], "prompt is empty"),
        (["\x07 \u200b", "--weights", "nowhere"], "prompt is empty"),  # told before the weights
        (["a ball", "--negative", " ", "--weights", "nowhere"], "prompt is empty"),
        (["a ball", "--size", "abc"], "'abc' is not WIDTHxHEIGHT"),
        (["a ball", "--size", "64x"], "WIDTHxHEIGHT"),
        (["a ball", "--size", "70x64"], "try 64 or 80"),
        (["a ball", "--size", "64x-16"], "try 8"),
        (["a ball", "--frames", "16"], "try 13 or 17"),
        (["a ball", "--frames", "many"], "--frames"),
        (["a ball", "--frames", "-4"], "try 1"),
        (["a ball", "--frames", str(10**400 + 1)], "make it smaller, shorter"),
        (["a ball", "--size", "160000x160000"], "make it smaller, shorter"),
        (["a ball", "--size", "1024x1024", "--frames", "33", "--scale", "1"], "over the limit"),
        (["a ball", "--scale", "1000"], "less enlarged (--scale)"),
        (["a ball", "--guidance", "nan"], "guidance is a number"),
        (["a ball", "--guidance", "inf"], "guidance is a number"),
        (["a ball", "--steps", str(10**12)], "at most 1000"),
        (["a ball", "--steps", "0"], "at least one step"),
        (["a ball", "--scale", "0"], "--scale"),
        (["a ball", "--seed", "-1"], "whole number from 0"),
        (["a ball", "--seed", str(2**70)], "whole number from 0"),
        (["a ball", "--device", "gpu"], "not cpu, cuda or auto"),
        (["a ball", "--solver", "rk4"], "--solver"),
        (["a ball", "-o", "a.xyz"], "the ending must be one of .mp4"),
        (["a ball", "-o", "a.png"], "--frames 1"),
        (["a ball", "-o", "nowhere/a.mp4"], "nowhere"),
        (["a ball", "-o", "folder.mp4"], "it is a folder"),
        (["a ball", "-o", "."], "the folder is not empty"),
        (["a ball", "--weights", "nowhere"], "no weights at nowhere"),
        ([], "required: prompt"),
        (["a", "red", "ball", *SMALL], 'quotes: minisora generate "a red ball"'),
    ],
)
def test_generate_refuses_in_one_line(weights, tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    os.mkdir("folder.mp4")
    assert told in refused(capsys, "generate", "--weights", weights, *words)
    assert os.listdir() == ["folder.mp4"] and not os.listdir("folder.mp4")


def test_a_closed_folder_is_told_before_the_work(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda *_: False)  # for root, no folder is closed
    for words in (["generate", "a ball", "--weights", weights], ["film"]):
        assert "closed to writing" in refused(capsys, *words, "-o", tmp_path / "a.mp4")
    line = refused(capsys, "train", "vae", "--preset", "smoke", "--out", tmp_path)
    assert f"cannot write weights into {tmp_path}" in line
    assert os.listdir(tmp_path) == []
    (tmp_path / "file").touch()
    line = refused(capsys, "train", "vae", "--preset", "smoke", "--out", tmp_path / "file")
    assert "it is a file" in line


@pytest.fixture
def full_disk(monkeypatch):
    """No file may grow beyond 20 kB: the system refuses, as it does where no space is left."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # Python leaves half of a module's
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "words",
    [
        ["generate", "a ball", *SMALL, "--scale", "8", "-o", "a.gif"],
        ["generate", "a ball", *SMALL, "--scale", "60", "-o", "pictures"],
        ["film", "-o", "a.webp"],
        ["film", "--count", "2", "--size", "256x256", "-o", "films"],
        ["train", "vae", "--preset", "smoke", "--seed", "4", "--out", "mine"],
    ],
    ids=["file", "pictures", "film", "films", "train"],
)
def test_a_disk_that_fills_up(weights, tmp_path, monkeypatch, capsys, full_disk, words):
    monkeypatch.chdir(tmp_path)
    if words[0] == "generate":
        words = [*words, "--weights", weights]
    with pytest.raises(SystemExit) as stop:
        main([*map(str, words)])
    assert stop.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.match("minisora: error: .*(File too large|is the disk full)", last), last
    assert [*tmp_path.rglob("*")] in ([], [tmp_path / "mine"])
    assert not list(cache_folder().rglob(f"{UNFINISHED}*"))


def test_too_little_memory_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for problem in (MemoryError(), RuntimeError("[enforce fail]\n can't allocate memory: 9 bytes")):

        def fails(*_, problem=problem, **__):
            raise problem

        monkeypatch.setattr(world, "render", fails)
        assert "memory" in refused(capsys, "film")
    assert os.listdir() == []


def test_damaged_weights_are_told(weights, tmp_path, capsys):
    for kind in ("vae", "dit"):
        whole = (weights / f"{kind}.safetensors").read_bytes()
        (tmp_path / f"{kind}.safetensors").write_bytes(whole[: len(whole) // 2])
    line = refused(capsys, "generate", "a ball", "--weights", tmp_path, "-o", tmp_path / "a.mp4")
    assert "vae.safetensors is damaged" in line and not (tmp_path / "a.mp4").exists()
    changed = bytearray((weights / "vae.safetensors").read_bytes())
    changed[-9] ^= 1
    (tmp_path / "vae.safetensors").write_bytes(changed)
    line = refused(capsys, "generate", "a ball", "--weights", tmp_path, "-o", tmp_path / "a.mp4")
    assert "vae.safetensors was changed" in line and not (tmp_path / "a.mp4").exists()


def test_a_long_prompt_is_cut_with_one_line(weights, tmp_path, capsys):
    words = ["generate", "a red ball and " * 30, "--weights", str(weights), *SMALL]
    main([*words, "--as-written", "-o", str(tmp_path / "a.gif")])
    assert re.fullmatch(r"minisora: .*cut off.*\n", capsys.readouterr().err)


def test_a_prompt_is_expanded_and_shown_unless_it_is_to_be_read_as_written(
    weights, tmp_path, capsys
):
    words = ["--weights", str(weights), *SMALL, "-o", str(tmp_path / "a.gif")]
    told, read, notes = [], [], []
    for prompt, more in (("a pink orb hops", []), ("a pink orb hops", ["--as-written"]),
                         ("a red ball bounces", [])):  # fmt: skip
        main(["generate", prompt, *words, *more])
        said = capsys.readouterr()
        told.append(said.out.splitlines())
        notes.append(said.err)
        about = Video.load(tmp_path / "a.gif").provenance
        assert about["prompt"] == prompt
        read.append(about.get("expand"))
    assert told[0][1] == f"expanded: {read[0]}"
    assert notes == ["minisora: not in this world: 'pink' (red instead)\n", "", ""]
    assert re.fullmatch(r"a (small|large) red sphere bounces .+, .+", read[0])
    assert read[1:] == [None, None] and all(len(lines) == 2 for lines in told[1:])


# ---- images and videos as prompts ----


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """Files that people bring: a photo, a clip, one at another speed and shape, and a text."""
    folder = tmp_path_factory.mktemp("brought")
    frames = world.render(world.sample_scene(0), frames=9, height=48, width=48).frames
    Video(frames[:1]).save(folder / "photo.png")
    Video(frames).save(folder / "a.mp4")
    wide = world.render(world.sample_scene(1), frames=30, height=54, width=96, fps=24)
    wide.save(folder / "wide.mp4")
    (folder / "notes.txt").write_text("a red ball")
    return folder


QUICK = ["--steps", "1", "--seed", "3", "--scale", "1"]


@pytest.mark.parametrize(
    ("words", "shape"),
    [
        (["animate", "photo.png", "--frames", "5"], (5, 48, 48, 3)),
        (["extend", "a.mp4", "--frames", "4"], (13, 48, 48, 3)),
        (["extend", "a.mp4", "--frames", "4", "--direction", "backward"], (13, 48, 48, 3)),
        (["loop", "a.mp4", "--frames", "4", "--size", "32x48"], (13, 48, 32, 3)),
        (["connect", "a.mp4", "photo.png", "--frames", "4"], (17, 48, 48, 3)),
        (["fill", "a.mp4", "--given", "0-4"], (9, 48, 48, 3)),
        (["edit", "wide.mp4", "--strength", "0.5"], (10, 48, 80, 3)),
        (["long", "--seconds", "1.5", "--size", "16x32"], (13, 32, 16, 3)),
    ],
    ids=lambda value: value[0] if isinstance(value[0], str) else "",
)
def test_a_command_for_each_way_of_prompting(weights, brought, tmp_path, capsys, words, shape):
    command, *rest = words
    files = [str(brought / word) for word in rest if "." in word and not word[0].isdigit()]
    options = [word for word in rest if str(brought / word) not in files]
    out = tmp_path / "made.mp4"
    words = [command, *files, "a red ball", *options, *QUICK, "--weights", weights, "-o", out]
    main([*map(str, words)])
    video = Video.load(out)
    assert video.frames.shape == shape and os.listdir(tmp_path) == ["made.mp4"]
    about = video.provenance
    assert (about["operation"], about["prompt"], about["seed"]) == (command, "a red ball", 3)
    assert [one["name"] for one in about["inputs"]] == [os.path.basename(f) for f in files]
    told, err = capsys.readouterr()
    assert "'a red ball'" in told and f"{out}: " in told and "seed 3" in told
    if "wide.mp4" in rest:  # what was done to fit it
        assert re.fullmatch(
            "minisora: wide.mp4: 8 frames a second were picked from 24; the middle 90x54 of 96x54 "
            "pixels became 80x48\n",
            err,
        )


def test_of_a_clip_no_more_is_said_than_the_user_says(weights, brought, tmp_path, capsys):
    words = ["edit", brought / "a.mp4", "make it a donut", *QUICK, "--weights", weights]
    main([*map(str, words), "-o", str(tmp_path / "a.gif")])
    assert "read as: a ring\n" in capsys.readouterr().out
    words = ["long", "an orb hops", "an orb twirls", "--seconds", "1", *QUICK, "--size", "16x16"]
    main([*words, "--weights", str(weights), "-o", str(tmp_path / "b.gif")])
    one, two = Video.load(tmp_path / "b.gif").provenance["expand"]
    assert one.split(" bounces ")[1] == two.split(" spins ")[1]  # the rest is the same


def test_a_storyboard(weights, tmp_path, capsys):
    words = ["long", "a red ball rolls left", "a red ball spins", "--seconds", "1", *QUICK]
    main([*words, "--size", "16x16", "--weights", str(weights), "-o", str(tmp_path / "a.gif")])
    assert "'a red ball rolls left / a red ball spins'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["animate", "none.png", "a ball"], "none.png: there is no such file"),
        (["animate", "a ball", "photo.png"], "cannot read a ball"),
        (["animate", "notes.txt", "a ball"], "cannot read"),
        (["animate", "photo.png", ""], "prompt is empty"),
        (["animate", "photo.png"], "required: prompt"),
        (["animate", "photo.png", "a", "red", "ball"], 'photo.png "a red ball"'),
        (["animate", "photo.png", "a ball", "--frames", "8"], "try 5 or 9"),
        (["animate", "photo.png", "a ball", "-o", "a.png"], "holds one frame"),
        (["extend", "photo.png", "a ball"], "photo.png has 1 of the 5 frames"),
        (["extend", "a.mp4", "a ball", "--frames", "3"], "fours"),
        (["extend", "a.mp4", "a ball", "--direction", "up"], "--direction"),
        (["loop", "photo.png", "a ball"], "photo.png has 1 of the 5 frames"),
        (["connect", "a.mp4", "wide.mp4", "a ball"], "48x48 and 80x48: give width and height"),
        (["connect", "a.mp4", "a ball"], "required: prompt"),
        (["edit", "a.mp4", "a ball", "--strength", "2"], "strength is a number from 0"),
        (["edit", "a.mp4", "a ball", "--size", "50x64"], "try 48 or 64"),
        (["edit", "a.mp4", "a ball", "-o", "a.png"], "holds one frame"),
        (["long", "a ball", "--seconds", "0"], "from 0.5 to 600"),
        (["long", "a ball", "--seconds", "nan"], "from 0.5 to 600"),
        (["long", "a ball", "--scale", "9"], "less enlarged"),
        (["long", "a", "ball"], 'minisora long "a ball"'),
        (["long", "a ball", "--solver", "rk4"], "--solver"),
    ],
)
def test_prompting_refuses_in_one_line(
    weights, brought, tmp_path, monkeypatch, capsys, words, told
):
    words = [str(brought / word) if (brought / word).is_file() else word for word in words]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main([*words, "--weights", str(weights), "--steps", "1"])
    *notes, last = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and told in last, last
    assert all(note.startswith("minisora: ") for note in notes) and os.listdir() == []


# ---- film ----


def test_film_one_scene(tmp_path, capsys):
    path = tmp_path / "a.gif"
    main(["film", "-o", str(path), "--size", "40x24", "--frames", "3", "--objects", "2"])
    assert Video.load(path).frames.shape == (3, 24, 40, 3)
    out = capsys.readouterr().out
    assert " and " in out and f"{path}: 0.4 s" in out


def test_verify_says_who_made_a_file_and_ends_accordingly(tmp_path, capsys):
    out, small = tmp_path / "a.png", ["--size", "32x32", "--frames", "1"]
    main(["film", "-o", str(out), *small])
    for change, code, word in ((0, 0, ": valid"), (1, 1, "not valid")):
        data = bytearray(out.read_bytes())
        data[-20] ^= change
        out.write_bytes(data)
        with pytest.raises(SystemExit) as stop:
            main(["verify", str(out)])
        assert stop.value.code == code and word in capsys.readouterr().out.lower()
    assert "--root" in refused(capsys, "verify", out, "--trusted")


def test_private_and_marked_files(tmp_path, capsys):
    small = ["--size", "64x64", "--frames", "1", "--seed", "3"]
    for name, more in (("a.png", []), ("b.png", ["--private"]), ("c.png", ["--mark"])):
        main(["film", "-o", str(tmp_path / name), *small, *more])
    open_, private, marked = (Video.load(tmp_path / f"{n}.png") for n in "abc")
    assert "caption" in str(open_.provenance) and "caption" not in str(private.provenance)
    assert (open_.frames == private.frames).all() and (open_.frames != marked.frames).any()


def test_film_a_folder(tmp_path, capsys):
    command = ["film", "--count", "3", "-o", str(tmp_path / "new"), "--size", "24x16"]
    command += ["--frames", "5", "--seed", "7", "--split", "heldout", "--fps", "4"]
    main(command)
    rows = read_folder(tmp_path / "new")
    assert [path.name for path, _ in rows] == ["0000.mp4", "0001.mp4", "0002.mp4"]
    for path, text in rows:
        clip = Video.load(path)
        assert clip.frames.shape == (5, 16, 24, 3) and clip.fps == 4 and clip.caption == text
    assert "3 clips" in capsys.readouterr().out
    assert "exists already" in refused(capsys, *command)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--count", "0"], "--count must be 1 or more"),
        (["--frames", "0"], "all must be positive"),
        (["--size", "0x64", "--count", "2"], "all must be positive"),
        (["--fps", "nan"], "all must be positive"),
        (["--fps", "inf", "--count", "2"], "all must be positive"),
        (["--size", "9000x9000"], "too many to film at once"),
        (["--objects", "4"], "--objects"),
        (["--split", "test"], "--split"),
        (["-o", "a.xyz"], "the ending"),
        (["-o", "a.png"], "one"),
        (["-o", "nowhere/a.mp4"], "nowhere"),
    ],
)
def test_film_refuses_in_one_line(tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    assert told in refused(capsys, "film", *words)
    assert os.listdir() == []


# ---- caption ----


def test_caption_says_what_it_sees(trained, brought, capsys):
    main(["caption", str(brought / "a.mp4"), "--weights", str(trained), "--sure", "0"])
    text, how = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d+% sure of every word", how)
    main(["caption", str(brought / "wide.mp4"), "--weights", str(trained), "--sure", "1"])
    text, how = capsys.readouterr().out.splitlines()
    assert text and re.fullmatch(r"left out as not sure enough: \w.* \(\d+% sure\)", how)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["none.mp4"], "no such file"),
        (["a.mp4", "--sure", "2"], "--sure is a number from 0 to 1"),
        (["a.mp4", "b.mp4"], "b.mp4"),
        ([], "FILE"),
    ],
)
def test_caption_refuses_in_one_line(trained, brought, monkeypatch, capsys, words, told):
    monkeypatch.chdir(brought)
    assert told in refused(capsys, "caption", *words, "--weights", trained)


# ---- eval ----


def test_eval_measures_the_vae(weights, capsys):
    main(["eval", "--clips", "2", "--prompts", "0", "--weights", str(weights)])
    assert re.search(r"2 held-out clips: mean PSNR \d+\.\d\d dB", capsys.readouterr().out)
    assert "--clips must be 1 or more" in refused(capsys, "eval", "--clips", "0")


# ---- train ----


def test_from_nothing_to_a_video(tmp_path, capsys, weights):
    out = tmp_path / "mine"
    line = refused(capsys, "train", "dit", "--preset", "smoke", "--out", out)
    assert f"train the VAE first: minisora train vae --preset smoke --out {out}" in line
    assert not out.exists()
    for kind in ("vae", "dit"):
        main(["train", kind, "--preset", "smoke", "--out", str(out), "--device", "cpu"])
        assert str(out / f"{kind}.safetensors") in capsys.readouterr().out
    files = [f"{kind}.{end}" for kind in ("dit", "vae") for end in ("csv", "json", "png")]
    assert sorted(os.listdir(out)) == sorted([*files, "dit.safetensors", "vae.safetensors"])
    assert not list((cache_folder() / "runs").glob("*-smoke-0*"))  # done with
    main(["generate", "a ball", "--weights", str(out), "-o", str(tmp_path / "a.mp4"), *SMALL])
    assert len(Video.load(tmp_path / "a.mp4")) == 5


@pytest.mark.parametrize("kind", ["vae", "dit"])
def test_the_card_says_what_made_the_weights(weights, kind):
    card = json.loads((weights / f"{kind}.json").read_text("utf-8"))
    model = load_model(weights / f"{kind}.safetensors", kind)
    assert card["command"] == f"minisora train {kind} --preset smoke --seed 0"
    assert cli.build_parser().parse_args(card["command"].split()[1:]).seed == 0
    assert card["steps"] == 20 and card["minutes"] >= 0 and "threads" in card["hardware"]
    assert card["parameters"] == sum(p.numel() for p in model.parameters())
    with open(weights / f"{kind}.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(1, 21))
    assert float(rows[-1]["score"]) == card["score on unseen clips"]
    assert all(float(row["seconds"]) >= 0 and float(row["loss"]) for row in rows)
    assert Video.load(weights / f"{kind}.png").width > 300


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path, weights):
    """However it died: with its curve behind its progress, or ahead of it."""
    log = cache_folder() / "runs" / "vae-smoke-0.csv"

    def go(stop):
        return recipes.run("vae", "smoke", 0, tmp_path, "cpu", False, stop)

    assert not go([True]) and not go([True])
    assert load_progress(log.with_suffix(".pt"))["step"] == 2 and os.listdir(tmp_path) == []
    records = recipes.read_curve(log)
    assert [r.step for r in records] == [1, 2]
    recipes.save_curve(log, [*records, replace(records[-1], step=3, loss=9.0)])
    assert go([])
    loads = [load_model(folder / "vae.safetensors", "vae") for folder in (tmp_path, weights)]
    assert fingerprint(loads[0]) == fingerprint(loads[1])
    losses = [[r.loss for r in recipes.read_curve(f / "vae.csv")] for f in (tmp_path, weights)]
    assert losses[0] == losses[1]
    assert not log.exists()


def test_a_finished_training_is_not_repeated(tmp_path, weights, monkeypatch, capsys):
    words = ["train", "vae", "--preset", "smoke", "--out", str(tmp_path)]
    begun = []
    monkeypatch.setattr(recipes, "watch", lambda *_: begun.append(True))  # returns no record
    for end in ("safetensors", "json"):
        assert "begins again" in refused(capsys, *words) and begun.pop()
        (tmp_path / f"vae.{end}").write_bytes((weights / f"vae.{end}").read_bytes())
    main(words)
    assert not begun and "already finished; --restart trains again" in capsys.readouterr().out
    refused(capsys, *words, "--restart")
    refused(capsys, *words, "--seed", "1")
    recipes.save_model(tmp_path / "vae.safetensors", VAE(presets.PRESETS["vae"]["smoke"].config))
    refused(capsys, *words)  # these are other weights
    assert len(begun) == 3


def test_stopping_in_the_last_step_is_finishing(tmp_path, weights, monkeypatch):
    stop = []
    save_curve = recipes.save_curve

    def stop_at_the_end(path, records):
        save_curve(path, records)
        if records[-1].step == records[-1].steps:
            stop.append(True)

    monkeypatch.setattr(recipes, "save_curve", stop_at_the_end)
    assert recipes.run("vae", "smoke", 0, tmp_path, "cpu", False, stop) and stop
    loads = [load_model(folder / "vae.safetensors", "vae") for folder in (tmp_path, weights)]
    assert fingerprint(loads[0]) == fingerprint(loads[1])


def test_a_full_disk_at_the_end_does_not_cost_the_training(tmp_path, monkeypatch, capsys):
    def full(path, *_):
        raise OSError(28, f"No space left on device: {path}")

    words = ["train", "vae", "--preset", "smoke", "--seed", "1", "--out", tmp_path]
    with monkeypatch.context() as patch:
        patch.setattr(recipes, "save_model", full)
        with pytest.raises(SystemExit):
            main([*map(str, words)])
        assert capsys.readouterr().err.endswith(f"{tmp_path / 'vae.safetensors'}\n")
    monkeypatch.setattr(train, "schedule", full)  # not a step is taken
    main([*map(str, words)])
    assert json.loads((tmp_path / "vae.json").read_text())["steps"] == 20


def test_restart_forgets_an_interrupted_run(tmp_path):
    progress = cache_folder() / "runs" / "vae-smoke-2.pt"
    for restart, step in ((False, 1), (False, 2), (True, 1)):
        assert not recipes.run("vae", "smoke", 2, tmp_path, "cpu", restart, [True])
        assert load_progress(progress)["step"] == step


def test_polish_goes_on_from_finished_weights(tmp_path, weights, monkeypatch, capsys):
    smoke = presets.PRESETS["dit"]["smoke"]
    short = replace(smoke, steps=4, check_every=2, still=0.0, onward=True)
    monkeypatch.setitem(presets.PRESETS["dit"], "polish", short)
    words = ["train", "dit", "--preset", "polish", "--out", str(tmp_path)]
    assert "no preset 'polish' for the judge" in refused(
        capsys, "train", "judge", "--preset", "polish", "--out", str(tmp_path)
    )
    for end in ("safetensors", "json", "csv"):
        (tmp_path / f"vae.{end}").write_bytes((weights / f"vae.{end}").read_bytes())
    assert "finish a training first: minisora train dit" in refused(capsys, *words)
    for end in ("safetensors", "json", "csv"):
        (tmp_path / f"dit.{end}").write_bytes((weights / f"dit.{end}").read_bytes())
    main(words)
    card = json.loads((tmp_path / "dit.json").read_text())
    assert card["steps"] == 24 and card["after"] == "minisora train dit --preset smoke --seed 0"
    assert [r.step for r in recipes.read_curve(tmp_path / "dit.csv")] == [*range(1, 25)]
    one, two = (load_model(f / "dit.safetensors", "dit").state_dict() for f in (weights, tmp_path))
    moved = [(one[n].float() - two[n].float()).norm() / one[n].float().norm() for n in one]
    assert 0 < max(moved) < 1  # near where it began
    main(words)
    assert "already finished" in capsys.readouterr().out


LONG = """
import sys
from dataclasses import replace
from minisora.cli import main
from minisora.presets import PRESETS
PRESETS["vae"]["smoke"] = replace(PRESETS["vae"]["smoke"], steps=4000)
main(["train", "vae", "--preset", "smoke", "--seed", "3", "--out", sys.argv[1]])
"""


def test_ctrl_c_saves_and_the_same_command_goes_on(tmp_path, monkeypatch):
    command = [sys.executable, "-c", LONG, str(tmp_path)]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        seen = ""
        while "loss" not in seen and process.poll() is None:  # the bar of the first steps
            seen += process.stderr.read(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "the same command goes on" in out and "Traceback" not in seen + err
    assert os.listdir(tmp_path) == []
    log = cache_folder() / "runs" / "vae-smoke-3.csv"
    step = load_progress(log.with_suffix(".pt"))["step"]
    assert 1 <= step < 4000
    longer = replace(presets.PRESETS["vae"]["smoke"], steps=4000)
    monkeypatch.setitem(presets.PRESETS["vae"], "smoke", longer)
    assert not recipes.run("vae", "smoke", 3, tmp_path, "cpu", False, [True])
    assert [r.step for r in recipes.read_curve(log)] == list(range(1, step + 2))


def test_ctrl_c_twice_stops_at_once(tmp_path, monkeypatch, capfd):
    def impatient(*_):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(recipes, "run", impatient)
    with pytest.raises(SystemExit) as stop:
        main(["train", "vae", "--out", str(tmp_path)])
    assert stop.value.code == 130
    assert capfd.readouterr().err.split("\n")[1::2] == [
        "stopping after this step; Ctrl-C again stops at once",
        "minisora: stopped",
    ]
    assert signal.getsignal(signal.SIGINT) is before


# ---- starting ----


def test_help_starts_without_the_heavy_imports():
    code = """
import sys
from minisora.cli import main
for words in (["--help"], ["generate", "--help"], ["--version"]):
    try:
        main(words)
    except SystemExit as stop:
        assert not stop.code
heavy = {"torch", "numpy", "av", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
    assert "generate" in done.stdout and "--guidance" in done.stdout and "minisora 0" in done.stdout


@pytest.mark.parametrize(("words", "told"), [([], "COMMAND"), (["paint"], "invalid choice")])
def test_an_unknown_command_is_one_line(capsys, words, told):
    assert told in refused(capsys, *words)
