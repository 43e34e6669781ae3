"""Content credentials: a signed note in each file that says what made it, and from what (C2PA).

The note (a manifest) tells what was done, names the files it was done to with their own notes, and
holds our assertion: prompt, seed, model, version. A hash ties it to the file: change one byte, and
it is not valid. "Valid" means unchanged since it was signed, not by whom: see `signer`. A file
without a note proves nothing, as re-encoding takes it away. The time in it is the signer's word:
a time stamp that others vouch for takes a network, which is never used here.

c2pa-python, the standard's own library, does the work; it is imported on first use. Sections are
those of the C2PA specification 2.3 (spec.c2pa.org); the kinds of source are IPTC's.
"""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from minisora import __version__
from minisora.signer import identity

MEDIA = {".mp4": "video/mp4", ".gif": "image/gif", ".webp": "image/webp", ".png": "image/png"}
MEDIA |= {".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
LABEL = "org.minisora.provenance"  # of our assertion
READ = "read_from"  # in the provenance of a clip that was a file: its name and its credentials
KIND = "http://cv.iptc.org/newscodes/digitalsourcetype/"
OFFLINE = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "core": {"allowed_network_hosts": []},
    "builder": {"thumbnail": {"enabled": False}},
}


def library():
    """Import c2pa, which is a compiled library and not there for every system.

    Raises:
        ValueError: it is not here.
    """
    try:
        import c2pa
    except (ImportError, OSError, RuntimeError) as error:
        raise ValueError(f"no credentials without c2pa-python: {error}") from None
    return c2pa


def context(roots: str = ""):
    """Return c2pa's settings: no network, no thumbnails, and whom to trust (PEM)."""
    c2pa = library()
    trust = {"trust": {"user_anchors": roots}} if roots else {}
    return c2pa.Context(c2pa.Settings.from_dict({**OFFLINE, **trust}))


# ---- writing ----


def sign(data: bytes, suffix: str, about: dict, private: bool = False) -> bytes:
    """Return a file's bytes with credentials in them.

    Args:
        data: the bytes of a whole file.
        suffix: what it is, a key of `MEDIA`.
        about: the provenance of its frames (`Video.provenance`).
        private: leave out our assertion, here and in what the sources say about themselves.

    Raises:
        ValueError: it cannot be signed.
    """
    c2pa, (algorithm, chain, key) = library(), identity()
    note, stores = manifest(about, private)
    signed, info = io.BytesIO(), c2pa.C2paSignerInfo(algorithm, chain, key, None)
    try:
        with c2pa.Signer.from_info(info) as signer, c2pa.Builder(note, context()) as builder:
            for name, store in stores.items():
                builder.add_resource(name, io.BytesIO(store))
            builder.sign(signer, MEDIA[suffix], io.BytesIO(data), signed)
    except c2pa.C2paError as error:
        raise ValueError(f"cannot sign, so nothing is written: {error}") from None
    return signed.getvalue()


def manifest(about: dict, private: bool) -> tuple[str, dict[str, bytes]]:
    """Return the note to be signed, as JSON, and by name the notes of its sources."""
    given = {source.get("manifest", i): source for i, source in enumerate(sources(about))}
    if not given and not kind(about):
        given = {0: {"name": "frames of unknown origin"}}
    packed = {name: unpack(source) for name, source in given.items() if "packed" in source}
    redacted = [uri for more in packed.values() for uri in more["ours"] if private]
    ingredients = [
        {
            "title": "an earlier file" if private else str(source.get("name")),
            "label": f"source{i}",
            "relationship": "componentOf" if i else "parentOf",
            **(packed[name]["ingredient"] if name in packed else {}),
        }
        for i, (name, source) in enumerate(given.items())
    ]
    done = {"actions": actions(about, len(given), redacted)}
    said = [{"label": "c2pa.actions.v2", "data": done, "created": True}]
    if data := statement(about, private):
        said.append({"label": LABEL, "data": data, "created": True})
    text = json.dumps(
        {
            "claim_generator_info": [{"name": "minisora", "version": __version__}],
            "ingredients": ingredients,
            "redactions": redacted,
            "assertions": said,
        },
        ensure_ascii=False,
    )
    stores = {name: base64.b64decode(more["store"]) for name, more in packed.items()}
    return text.encode("utf-8", "replace").decode(), stores  # half a surrogate pair becomes "?"


def actions(about: dict, count: int, redacted: list[str]) -> list[dict]:
    """Return what was done, the first of it creating the frames or opening one of `count` sources.

    Sections 18.15 (Actions), 18.16 (Ingredient) and 6.8 (Redaction of Assertions).
    """
    by = {"softwareAgent": {"name": "minisora", "version": __version__}}
    by["when"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
    if not count:
        return [{"action": "c2pa.created", "digitalSourceType": KIND + kind(about), **by}]

    def used(i: int) -> dict:
        return {"parameters": {"ingredientIds": [f"source{i}"]}}

    ours = "model" in about and READ not in about  # what a file says of itself was done before
    how = {"digitalSourceType": KIND + "compositeWithTrainedAlgorithmicMedia"} if ours else {}
    return [
        {"action": "c2pa.opened", **used(0)},
        {"action": "c2pa.edited", **how, **by},
        *({"action": "c2pa.placed", **used(i)} for i in range(1, count)),
        *(
            {"action": "c2pa.redacted", "reason": "c2pa.PII.present", "parameters": {"redacted": u}}
            for u in redacted
        ),
    ]


def kind(about: dict) -> str:
    """Return what made frames, in IPTC's words; nothing if their provenance does not say."""
    if about.get("model"):
        return "trainedAlgorithmicMedia"
    if str(about.get("made_by")).startswith("minisora ray tracer"):
        return "algorithmicMedia"
    tiles = parts(about, "tiles")
    return "compositeSynthetic" if tiles and all(map(kind, tiles)) else ""


def parts(about: dict, name: str) -> list[dict]:
    """Return a list in a provenance; anybody may have written something else there."""
    found = about.get(name)
    return [part for part in found if isinstance(part, dict)] if isinstance(found, list) else []


def sources(about: dict) -> Iterator[dict]:
    """Yield the name, and the credentials if there are any, of each file a clip was made from."""
    if isinstance(about.get(READ), dict):
        yield about[READ]
        return
    for given in parts(about, "inputs"):
        before = given.get("provenance")
        found = list(sources(before)) if isinstance(before, dict) else []
        yield from found or [{"name": str(given.get("name", "a clip"))}]


def told(about):
    """Return what a file says openly: the provenance without the credentials of its sources."""
    if isinstance(about, dict):
        return {name: told(value) for name, value in about.items() if name != READ}
    return [told(value) for value in about] if isinstance(about, list | tuple) else about


def statement(about: dict, private: bool) -> dict:
    """Return what is said under our own name: not what a file without credentials claims."""
    before = about.get(READ)
    proven = not isinstance(before, dict) or before.get("credentials") == "Valid"
    data = {} if private else told(about)
    return data if proven or not data else {"unverified": data}


# ---- reading ----


def recall(path: Path) -> dict:
    """Return the provenance that a file's valid credentials tell, and the credentials themselves.

    They are under `READ`, packed, to become an ingredient where the frames are saved again. Those
    of a folder are its first picture's. Nothing is raised: `verify` tells what is wrong with them.
    """
    name, path = path.name, min(path.glob("*.png")) if path.is_dir() else path
    try:
        note, store = read(path)
    except (ValueError, OSError):
        return {READ: {"name": name, "credentials": "none"}}
    active, state = note["active_manifest"], note["validation_state"]
    mine = [label for label, part in note["manifests"].items() if ours(part)]
    more = {
        "store": base64.b64encode(store).decode(),
        "ours": [f"self#jumbf=/c2pa/{label}/c2pa.assertions/{LABEL}" for label in mine],
        "ingredient": {
            "active_manifest": active,
            "validation_results": note["validation_results"],
            "manifest_data": {"format": "application/c2pa", "identifier": active},
        },
    }
    packed = base64.b64encode(zlib.compress(json.dumps(more).encode(), 9)).decode()
    about = told(ours(note["manifests"][active])) if state != "Invalid" else {}
    return {**about, READ: dict(name=name, credentials=state, manifest=active, packed=packed)}


def unpack(source: dict) -> dict:
    """Undo the packing of `recall`."""
    return json.loads(zlib.decompress(base64.b64decode(source["packed"])))


def read(path: Path, roots: str = "") -> tuple[dict, bytes]:
    """Return a file's credentials as c2pa reads and checks them, and their bytes.

    Raises:
        ValueError: there are none, or they are damaged; the message is c2pa's.
    """
    c2pa, store = library(), io.BytesIO()
    try:
        with open(path, "rb") as file, c2pa.Reader(None, file, context=context(roots)) as reader:
            note = json.loads(reader.json())
            if note.get("active_manifest") not in note.get("manifests", {}):
                raise ValueError("no manifest is active")
            reader.resource_to_stream(note["active_manifest"], store)
    except c2pa.C2paError as error:
        raise ValueError(str(error)) from None
    return note, store.getvalue()


def ours(part: dict) -> dict:
    """Return the content of our assertion in a manifest, anybody's; or nothing."""
    found = (said["data"] for said in part.get("assertions", []) if said["label"] == LABEL)
    data = next(found, {})
    return data if isinstance(data, dict) else {"said": data}
