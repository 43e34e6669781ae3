"""Every file says, signed, what made it; a changed byte is noticed; the key stays where it is.

`python tests/test_credentials.py [1000]` measures signing and changes bytes at that many places.
"""

import base64
import http.server
import io
import json
import logging
import os
import statistics
import sys
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import av
import c2pa
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from minisora import credentials, signer
from minisora.codecs import encode
from minisora.credentials import KIND, MEDIA, READ, context, read, recall, sign, told
from minisora.verify import report
from minisora.video import Video
from minisora.watermark import embed

MADE = {"made_by": "minisora 0.1.0", "prompt": "a zebra-red ball", "seed": 3, "model": "c0ffee"}
SAVED = MADE | {"watermark": 1}  # what its files say
FILMED = {"made_by": "minisora ray tracer", "caption": "a cone turns", "seed": 1}
SUFFIXES = sorted(MEDIA)


def clip(t=3, h=32, w=48, about=MADE) -> Video:
    frames = np.random.default_rng(0).integers(0, 256, (t, h, w, 3), np.uint8)
    return Video(frames, 8.0, about)


def saved(folder, suffix=".png", about=MADE, **options) -> Path:
    path = Path(folder) / f"clip{suffix}"
    clip(3 if suffix in (".mp4", ".gif", ".webp") else 1, about=about).save(path, **options)
    return path


def note(path) -> dict:
    return read(path)[0]


def active(path) -> dict:
    found = note(path)
    return found["manifests"][found["active_manifest"]]


def done(path) -> list[tuple[str, str]]:
    """Actions and what they say made it."""
    [said] = [a["data"] for a in active(path)["assertions"] if a["label"] == "c2pa.actions.v2"]
    pairs = [(a["action"], a.get("digitalSourceType", "")) for a in said["actions"]]
    return [(act.removeprefix("c2pa."), made.removeprefix(KIND)) for act, made in pairs]


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A configuration folder of its own, still empty."""
    monkeypatch.setenv("MINISORA_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config" / "signing"


def issue(place, key, name="Jane", days=(-1, 1), of=None):
    """Put a real-looking chain of two and its key into a signing folder, for others' keys too."""
    root, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    place.mkdir(parents=True, exist_ok=True)
    pems = []
    for public in ((of or key).public_key(), root.public_key()):
        ready = signer.certificate(public, root)
        builder = x509.CertificateBuilder(ready.issuer, ready.subject, public, ready.serial_number)
        builder = builder.not_valid_before(now + timedelta(days=days[0]))
        builder = builder.not_valid_after(now + timedelta(days=days[1]))
        for extension in ready.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        pems.append(builder.sign(root, hashes.SHA256()).public_bytes(form.Encoding.PEM))
    place.joinpath("certificate.pem").write_bytes(pems[0])
    place.joinpath("root.pem").write_bytes(pems[1])
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    place.joinpath("key.pem").write_bytes(pem)
    place.joinpath("key.pem").chmod(0o600)


# ---- what is signed ----


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_valid_and_trusted_with_the_root(tmp_path, suffix):
    path = saved(tmp_path, suffix)
    roots = (signer.signing_folder() / "root.pem").read_text()
    for trust, state in (("", "Valid"), (roots, "Trusted")):
        with c2pa.Reader(path, context=context(trust)) as reader:  # the library's own
            assert reader.get_validation_state() == state
    assert done(path) == [("created", "trainedAlgorithmicMedia")]
    assert credentials.ours(active(path)) == told(Video.load(path).provenance) == SAVED
    assert "thumbnail" not in json.dumps(note(path))
    frames = clip(3 if suffix in (".mp4", ".gif", ".webp") else 1)
    frames.frames = embed(frames.frames)
    assert 0 < path.stat().st_size - len(encode(frames, suffix)) < 10_000


def test_signing_leaves_the_pixels_alone(tmp_path):
    for suffix in (".webp", ".png"):
        path = saved(tmp_path, suffix)
        n = len(Video.load(path))
        np.testing.assert_array_equal(Video.load(path).frames, embed(clip(n).frames))
    plain = encode(clip(), ".mp4")
    (tmp_path / "plain.mp4").write_bytes(plain)
    (tmp_path / "signed.mp4").write_bytes(sign(plain, ".mp4", MADE))
    plain, signed = (Video.load(tmp_path / f"{name}.mp4").frames for name in ("plain", "signed"))
    np.testing.assert_array_equal(plain, signed)


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        (MADE, [("created", "trainedAlgorithmicMedia")]),
        ({**MADE, "inputs": []}, [("created", "trainedAlgorithmicMedia")]),
        (FILMED, [("created", "algorithmicMedia")]),
        ({"tiles": [MADE, FILMED]}, [("created", "compositeSynthetic")]),
        ({"tiles": [MADE, {}]}, [("opened", ""), ("edited", "")]),
        ({}, [("opened", ""), ("edited", "")]),
        ({"prompt": "x", "tiles": 3, "inputs": "?", READ: 5}, [("opened", ""), ("edited", "")]),
    ],
)
def test_what_was_done(tmp_path, about, expected):
    path = saved(tmp_path, about=about)
    assert done(path) == expected
    assert report(path)[1]
    sources = active(path).get("ingredients", [])
    assert [s["title"] for s in sources] == ["frames of unknown origin"] * (len(expected) - 1)


def test_an_edit_keeps_its_sources_and_their_credentials(tmp_path):
    a, b = saved(tmp_path, ".mp4"), saved(tmp_path, ".gif", FILMED)
    first, second = (Video.load(path).provenance for path in (a, b))
    inputs = [
        {"name": "clip.mp4", "provenance": first},
        {"name": "clip.gif", "provenance": {"inputs": [{"provenance": second}]}},  # edited, unsaved
        {"name": "mine.jpg"},
        {"name": "clip.mp4", "provenance": first},  # again
    ]
    about = json.loads(json.dumps({**MADE, "operation": "connect", "inputs": inputs}))
    path = saved(tmp_path, ".webp", about)
    assert done(path) == [
        ("opened", ""),
        ("edited", "compositeWithTrainedAlgorithmicMedia"),
        ("placed", ""),
        ("placed", ""),
    ]
    sources = {s["title"]: s for s in active(path)["ingredients"]}
    assert {title: s["relationship"] for title, s in sources.items()} == {
        "clip.mp4": "parentOf",
        "clip.gif": "componentOf",
        "mine.jpg": "componentOf",
    }
    for title, original in (("clip.mp4", a), ("clip.gif", b)):
        label = sources[title]["active_manifest"]
        assert note(path)["manifests"][label]["assertions"] == active(original)["assertions"]
    assert "active_manifest" not in sources["mine.jpg"]
    assert READ not in json.dumps(credentials.ours(active(path)))
    text, good = report(path)
    assert good and text.count("valid credentials") == 2 and text.count("without credentials") == 1


def test_generations_and_a_changed_source(tmp_path):
    path = saved(tmp_path, ".mp4")
    for suffix in (".gif", ".mp4", ".webp"):
        before, path = path, tmp_path / f"next{suffix}"
        Video.load(before).save(path)
        assert done(path) == [("opened", ""), ("edited", "")]  # no model at this step
        assert f"{before.name} (valid credentials)" in report(path)[0]
    assert len(note(path)["manifests"]) == 4
    data = bytearray(saved(tmp_path, ".jpg").read_bytes())
    data[-20] ^= 1
    (tmp_path / "changed.jpg").write_bytes(data)
    changed = Video.load(tmp_path / "changed.jpg")
    assert told(changed.provenance) == {}  # not believed
    assert changed.provenance[READ]["credentials"] == "Invalid"
    changed.save(tmp_path / "next.png")
    text, good = report(tmp_path / "next.png")
    assert good and "were not valid: assertion.dataHash.mismatch" in text


def test_private_keeps_the_words_out(tmp_path):
    source = Video.load(saved(tmp_path, ".mp4"))
    about = {**MADE, "inputs": [{"name": "zebra.mp4", "provenance": source.provenance}]}
    clip(about=about).save(tmp_path / "twice.gif")
    deep = {**MADE, "inputs": [{"provenance": Video.load(tmp_path / "twice.gif").provenance}]}
    for i, (provenance, suffix) in enumerate(((MADE, ".mp4"), (about, ".webp"), (deep, ".mp4"))):
        path = tmp_path / f"private{i}{suffix}"
        clip(about=provenance).save(path, private=True)
        assert b"zebra" not in path.read_bytes() and b"c0ffee" not in path.read_bytes()
        assert (
            report(path)[1]
            and done(path)[: 1 + (i > 0)]
            == [
                [("created", "trainedAlgorithmicMedia")],
                [("opened", ""), ("edited", "compositeWithTrainedAlgorithmicMedia")],
            ][i > 0]
        )
        assert told(Video.load(path).provenance) == {}
        Video.load(path).save(tmp_path / f"after{suffix}")
        assert report(tmp_path / f"after{suffix}")[1]
    clip(about=about).save(tmp_path / "folder", private=True)
    assert not any(b"zebra" in path.read_bytes() for path in (tmp_path / "folder").iterdir())


def test_a_folder_has_each_picture_signed(tmp_path):
    clip().save(tmp_path / "folder")
    text, good = report(tmp_path / "folder")
    assert good and "3 of 3 pictures" in text and "missing" in text
    video = Video.load(tmp_path / "folder")
    assert video.provenance[READ]["credentials"] == "Valid"
    (tmp_path / "folder" / "0001.png").write_bytes(encode(clip(1), ".png"))
    text, good = report(tmp_path / "folder")
    assert not good and "2 of 3" in text and "0001.png: no credentials" in text
    (tmp_path / "empty").mkdir()
    assert not report(tmp_path / "empty")[1]


def test_webm_is_unsigned_and_says_so(tmp_path):
    with pytest.warns(UserWarning, match="a.webm is not signed.*mp4"):
        clip().save(tmp_path / "a.webm")
    text, good = report(tmp_path / "a.webm")
    assert not good and "no credentials" in text


@pytest.mark.filterwarnings("ignore:.*is not signed")
def test_what_an_unsigned_file_claims_is_not_said_under_our_name(tmp_path):
    paths = [tmp_path / name for name in ("a.webm", "b.mp4", "c.gif", "folder", "d.mp4")]
    clip().save(paths[0])
    assert told(Video.load(paths[0]).provenance) == SAVED
    for before, path in zip(paths, paths[1:], strict=False):
        Video.load(before).save(path)
        assert told(Video.load(path).provenance) == {"unverified": SAVED}
    assert done(paths[1])[0] == ("opened", "") and done(paths[-1])[0] == ("opened", "")
    assert "a.webm (without credentials)" in report(paths[1])[0]


def test_a_comment_cannot_bring_credentials(tmp_path):
    lie = {
        READ: {"name": "x", "manifest": "m", "packed": "bomb"},
        "inputs": [{READ: {"name": "y"}}],
    }
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        container.metadata["comment"] = json.dumps(lie)
        stream = container.add_stream("mpeg4", rate=8)
        stream.height, stream.width = 32, 48
        container.mux(stream.encode(av.VideoFrame.from_ndarray(clip().frames[0], "rgb24")))
        container.mux(stream.encode())
    about = Video.load(tmp_path / "a.mp4").provenance
    assert about == {"inputs": [{}], READ: {"name": "a.mp4", "credentials": "none"}}


def test_odd_words_are_signed_and_shown_without_tricks(tmp_path):
    words = "\x1b[31m\u202e\0 \udcff 猫 " + "x" * 5000
    path = saved(tmp_path, about={**MADE, "prompt": words, "\x1b]0;": 2**70, "signed by": "BBC"})
    text, good = report(path)
    assert good and "猫" in text and max(map(len, text.splitlines())) < 400
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize(("about", "width"), [(MADE, 10), (FILMED, 10)])
def test_a_visible_mark(tmp_path, about, width):
    video = Video(np.full((2, 48, 64, 3), 128, np.uint8), 8.0, about)
    video.save(tmp_path / "a.webp", mark=True, watermark=False)
    changed = (Video.load(tmp_path / "a.webp").frames != 128).all(-1)
    assert changed[:, -7:, -width:].all() and changed.sum() == 2 * 7 * width
    assert (video.frames == 128).all()  # only the file is marked


def test_no_mark_without_a_machine(tmp_path, refuses):
    with refuses("a machine"):
        clip(about={}).save(tmp_path / "a.mp4", mark=True)
    with refuses("16 pixels"):
        clip(h=8).save(tmp_path / "a.mp4", mark=True)
    assert not any(tmp_path.glob("*.mp4"))


# ---- what is noticed ----


def hashed(data: bytes, path: Path) -> np.ndarray:
    """Which bytes of a signed file its hash covers, as the file itself says.

    C2PA 2.3, sections 18.5 (Data Hash) and 18.6 (BMFF-Based Hash).
    """
    with c2pa.Reader(path, context=context()) as reader:
        found = json.loads(reader.detailed_json())
    store = found["manifests"][found["active_manifest"]]["assertion_store"]
    [cover] = [value for name, value in store.items() if name.startswith("c2pa.hash")]
    mask, at = np.ones(len(data), bool), 0
    for gap in cover["exclusions"]:
        if "start" in gap:
            mask[gap["start"] : gap["start"] + gap["length"]] = False
    left_out = {gap.get("xpath", "").encode() for gap in cover["exclusions"]}
    while path.suffix == ".mp4" and at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if b"/" + data[at + 4 : at + 8] in left_out:
            mask[at : at + size] = False
        at += size
    return mask


def noticed(path: Path, data: bytes, place: int, change: int) -> bool:
    """Whether a changed byte makes a file's credentials invalid or unreadable."""
    data = bytearray(data)
    data[place] ^= change
    path.write_bytes(data)
    try:
        return note(path)["validation_state"] == "Invalid"
    except ValueError:
        return True


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_changed_byte_is_noticed(tmp_path, suffix):
    path = saved(tmp_path, suffix)
    data, random = path.read_bytes(), np.random.default_rng(0)
    covered = np.flatnonzero(hashed(data, path))
    assert len(covered) > len(data) / 4
    for place in [*random.choice(covered, 12), covered[0], covered[-1]]:
        assert noticed(path, data, place, random.integers(1, 256)), place
    path.write_bytes(data)
    assert report(path)[1]
    path.write_bytes(data + b"more")
    assert not report(path)[1]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_truncated_file(tmp_path, suffix):
    path = saved(tmp_path, suffix)
    data = path.read_bytes()
    for size in (len(data) - 1, len(data) * 2 // 3, 2000, 40, 0):
        path.write_bytes(data[:size])
        text, good = report(path)
        assert not good and ": VALID" not in text
        assert READ in recall(path) and told(recall(path)) == {}


def test_a_file_that_is_not_what_its_ending_says(tmp_path):
    path = saved(tmp_path, ".png").rename(tmp_path / "a.mp4")
    text, good = report(path)
    assert good and "it is a .png, in spite of its name" in text
    (tmp_path / "a.png").write_text("hello " * 100)
    text, good = report(tmp_path / "a.png")
    assert not good and "\n" not in text


def test_no_credentials_and_no_file(tmp_path, refuses):
    (tmp_path / "a.png").write_bytes(encode(clip(1), ".png"))
    text, good = report(tmp_path / "a.png")
    assert not good and "proves nothing" in text
    with refuses("cannot read", "missing.mp4"):
        report(tmp_path / "missing.mp4")


def test_only_a_given_root_is_trusted(tmp_path, config, refuses):
    path = saved(tmp_path)
    mine = config / "root.pem"
    text, good = report(path, True, [mine])
    assert good and "you trust" in text
    issue(tmp_path / "other", ec.generate_private_key(ec.SECP256R1()))
    other = tmp_path / "other" / "root.pem"
    assert report(path, False, [other])[1]
    text, good = report(path, True, [other])
    assert not good and "not by one you trust" in text
    assert report(path, True, [other, mine])[1]
    with refuses("--root"):
        report(path, True)
    (tmp_path / "junk").write_text("junk")
    for wrong in ("junk", "missing"):
        with refuses("root", wrong):
            report(path, True, [tmp_path / wrong])


def test_the_network_is_never_used(tmp_path):
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/credentials"
        text, _ = credentials.manifest(MADE, False)
        info, out = c2pa.C2paSignerInfo(*signer.identity(), None), io.BytesIO()
        with c2pa.Signer.from_info(info) as key, c2pa.Builder(text, context()) as builder:
            builder.set_no_embed()
            builder.set_remote_url(url)
            builder.sign(key, "image/png", io.BytesIO(encode(clip(1), ".png")), out)
        (tmp_path / "remote.png").write_bytes(out.getvalue())
        said, good = report(tmp_path / "remote.png")
        Video.load(tmp_path / "remote.png")
        assert not good and url in said and asked == []
        with pytest.raises(c2pa.C2paError):
            c2pa.Reader(tmp_path / "remote.png")  # c2pa's own settings would have asked
        assert asked
        server.shutdown()


# ---- the key ----


def test_the_key_is_made_once_for_its_owner_alone(config, tmp_path):
    path = saved(tmp_path)
    assert oct((config / "key.pem").stat().st_mode)[-3:] == "600" or os.name == "nt"
    key = (config / "key.pem").read_bytes()
    saved(tmp_path, ".gif")
    assert (config / "key.pem").read_bytes() == key
    assert sorted(os.listdir(config)) == ["certificate.pem", "key.pem", "root.pem"]
    chain = x509.load_pem_x509_certificates((config / "certificate.pem").read_bytes())
    chain[0].verify_directly_issued_by(
        x509.load_pem_x509_certificate((config / "root.pem").read_bytes())
    )
    for word in filter(
        None, {os.environ.get("USER"), os.uname().nodename if os.name != "nt" else ""}
    ):
        assert word == "root" or word not in chain[0].subject.rfc4514_string()
    assert report(path)[1]


def test_the_key_is_in_no_file_log_or_message(config, tmp_path, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        paths = [saved(tmp_path, suffix) for suffix in SUFFIXES]
        Video.load(paths[0]).save(tmp_path / "next.mp4")
        said = [report(path)[0] for path in paths]
    pem = (config / "key.pem").read_text()
    key = form.load_pem_private_key(pem.encode(), None)
    der = base64.b64decode("".join(pem.splitlines()[1:-1]))
    number = key.private_numbers().private_value.to_bytes(32, "big")
    secrets = [der, number, base64.b64encode(number)[:40], number.hex().encode(), b"PRIVATE KEY"]
    secrets += [line.encode() for line in pem.splitlines()[1:-1]]
    stores = [credentials.unpack(recall(path)[READ])["store"] for path in paths]
    out = "".join([*said, caplog.text, *capfd.readouterr()]).encode()
    places = [path.read_bytes() for path in (*paths, tmp_path / "next.mp4")]
    places += [base64.b64decode(store) for store in stores]
    for secret in secrets:
        assert secret in pem.encode() + der + number or secret in (secrets[2], secrets[3])
        assert not any(secret in place for place in (*places, out))


def wrong_key(place):
    new = ec.generate_private_key(ec.SECP256R1())
    issue(place, new, of=ec.generate_private_key(ec.SECP256R1()))


def expired(place):
    issue(place, ec.generate_private_key(ec.SECP256R1()), days=(-9, -2))


def readable_by_all(place):
    issue(place, ec.generate_private_key(ec.SECP256R1()))
    (place / "key.pem").chmod(0o644)


def readable_by_the_group(place):
    issue(place, ec.generate_private_key(ec.SECP256R1()))
    (place / "key.pem").chmod(0o640)


def unreadable(place):
    issue(place, ec.generate_private_key(ec.SECP256R1()))
    (place / "key.pem").unlink()
    (place / "key.pem").mkdir(mode=0o700)


def lost(place):
    issue(place, ec.generate_private_key(ec.SECP256R1()))
    (place / "key.pem").unlink()


def junk(place):
    issue(place, ec.generate_private_key(ec.SECP256R1()))
    (place / "key.pem").write_text("not a key, SECRET")


def locked(place):
    key = ec.generate_private_key(ec.SECP256R1())
    issue(place, key)
    lock = form.BestAvailableEncryption(b"SECRET")
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, lock)
    (place / "key.pem").write_bytes(pem)


def exotic(place):
    issue(place, ec.generate_private_key(ec.SECP256K1()))


def no_folder(place):
    place.parent.touch()


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (wrong_key, "another key"),
        (expired, "holds from"),
        (readable_by_all, "chmod 600"),
        (readable_by_the_group, "chmod 600"),
        (unreadable, "directory"),
        (lost, "No such file"),
        (junk, "unencrypted PEM key"),
        (locked, "unencrypted PEM key"),
        (exotic, "secp256k1"),
        (no_folder, "MINISORA_CONFIG"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_key_that_cannot_sign_leaves_no_file(config, tmp_path, refuses, spoil, word):
    spoil(config)
    (tmp_path / "old.mp4").write_bytes(b"the old file")
    for name in ("new.mp4", "old.mp4", "a.gif", "folder"):
        with pytest.raises(ValueError) as error:
            clip().save(tmp_path / name)
        told = str(error.value)
        assert told.startswith("cannot sign") and word in told and "\n" not in told
        assert "SECRET" not in told and "PRIVATE" not in told
    assert sorted(os.listdir(tmp_path)) == ["config", "old.mp4"]
    assert (tmp_path / "old.mp4").read_bytes() == b"the old file"


def test_a_signature_that_fails_leaves_no_file(tmp_path, monkeypatch, refuses):
    def fails(*_, **__):
        raise c2pa.C2paError("the pen broke")

    monkeypatch.setattr(c2pa.Builder, "sign", fails)
    with refuses("cannot sign", "the pen broke"):
        clip().save(tmp_path / "a.mp4")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with refuses("c2pa-python"):
        clip().save(tmp_path / "a.mp4")
    assert os.listdir(tmp_path) == []
    (tmp_path / "a.png").write_bytes(encode(clip(1), ".png"))
    assert Video.load(tmp_path / "a.png").provenance[READ]["credentials"] == "none"


def test_two_programs_that_make_the_first_key_agree(config, monkeypatch):
    signer.make(config)
    first = signer.identity()
    signer.make(config)  # as one that saw no key a moment ago
    assert signer.identity() == first
    assert list(config.parent.iterdir()) == [config]


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate,
    ],
)
def test_a_real_certificate_of_another_kind(config, tmp_path, make):
    issue(config, make())
    path = saved(tmp_path)
    assert report(path, True, [config / "root.pem"])[1]


# ---- figures ----


def main(count: int) -> None:
    """Print what signing costs, and how many changed bytes are noticed."""
    random = np.random.default_rng(0)
    print("signing 17 frames (or one) of 256x256 noise, and changing one byte of a small file")
    print("format  bytes added  ms (CPU)  hashed bytes: noticed    others: noticed")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINISORA_CONFIG"] = folder
        for suffix in (".mp4", ".gif", ".webp", ".png", ".jpg"):
            still, clocks = suffix in (".png", ".jpg"), []
            plain = encode(clip(1 if still else 17, 256, 256), suffix)
            for _ in range(21):
                began = time.perf_counter(), time.process_time()
                signed = sign(plain, suffix, MADE)
                clocks.append((time.perf_counter() - began[0], time.process_time() - began[1]))
            wall, cpu = (1000 * statistics.median(times) for times in zip(*clocks, strict=True))
            path = Path(folder) / f"a{suffix}"
            path.write_bytes(sign(encode(clip(1 if still else 3), suffix), suffix, MADE))
            data = path.read_bytes()
            mask, found = hashed(data, path), []
            for part, places in ((mask, count), (~mask, count // 4)):
                at = random.choice(np.flatnonzero(part), places)
                told = sum(noticed(path, data, place, random.integers(1, 256)) for place in at)
                found.append(f"{part.sum():>12}: {told}/{places}")
            added = len(signed) - len(plain)
            print(f"{suffix:<7} {added:>11} {wall:>4.0f} ({cpu:.0f})", *found, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
