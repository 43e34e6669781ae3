"""What `minisora verify` says of a file's credentials, for people to read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from minisora.credentials import KIND, MEDIA, ours, read
from minisora.signer import signing_folder

MADE = {
    "trainedAlgorithmicMedia": "by a trained model",
    "algorithmicMedia": "by computer graphics",
    "compositeSynthetic": "from clips that machines made",
    "compositeWithTrainedAlgorithmicMedia": "with a trained model",
}
VERDICTS = {
    "Trusted": "VALID, signed by somebody you trust",
    "Valid": "VALID: unchanged since it was signed. By whom is not proven: anybody can sign",
    "Invalid": "NOT VALID",
}
UNKNOWN = "signingCredential.untrusted"  # c2pa counts it as a failure; a verdict tells it here
STARTS = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"RIFF": ".webp"}


def report(path: Path, trusted: bool = False, roots: Sequence[Path] = ()) -> tuple[str, bool]:
    """Describe the credentials of a file, or of the pictures in a folder.

    Validation is that of the C2PA specification 2.3, sections 14.3 and 15.

    Args:
        path: a file, or a folder of PNGs.
        trusted: accept only a signer whose certificate leads to one of the roots.
        roots: PEM files of those to trust.

    Returns:
        The text, and whether the credentials are valid (and trusted, where that is asked for).

    Raises:
        ValueError: the file or a root cannot be read, or nobody is trusted.
    """
    if trusted and not roots:
        mine = signing_folder() / "root.pem"
        raise ValueError(f"--trusted needs --root FILE, whom to trust (you yourself: {mine})")
    anchors = "".join(map(certificates, roots))
    path = Path(path).expanduser()
    if not path.is_dir():
        return describe(path, trusted, anchors)
    found = [describe(picture, trusted, anchors) for picture in sorted(path.glob("*.png"))]
    good, bad = ([text for text, fine in found if fine is wanted] for wanted in (True, False))
    told = f"{path}: {len(good)} of {len(found)} pictures pass; each is signed by itself, so that "
    told += "a missing or moved one is not noticed"
    return "\n\n".join([told, *(bad or good)[:1]]), bool(good) and not bad


def certificates(path: Path) -> str:
    """Read the PEM certificates of those to trust."""
    from cryptography import x509

    try:
        text = Path(path).expanduser().read_bytes()
        x509.load_pem_x509_certificates(text)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it holds no PEM certificate"
        raise ValueError(f"cannot read the root {path}: {why}") from None
    return text.decode("utf-8", "replace").rstrip() + "\n"


def describe(path: Path, trusted: bool, anchors: str) -> tuple[str, bool]:
    """Return what `report` does, for one file."""
    try:
        note, _ = read(path, anchors)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        reasons = {
            "ManifestNotFound": "no credentials. That proves nothing: re-encoding takes them away",
            "NotSupported": "no credentials: it is no file that can hold them",
        }
        told = reasons.get(str(error).partition(":")[0], f"NOT VALID: {error}")
        return f"{path}: {told}", False
    state, part = note["validation_state"], note["manifests"][note["active_manifest"]]
    more = ", and not by one you trust" if trusted and state == "Valid" else ""
    told = VERDICTS.get(state, VERDICTS["Invalid"]) + more
    lines = [f"{path}: {told}", *map(row, [*problems(note, path), *rows(part)])]
    said = [row(pair) for pair in ours(part).items()]
    lines += ["  It says of itself:", *(f"  {line}" for line in said)] if said else []
    return "\n".join(lines), state == "Trusted" or (state == "Valid" and not trusted)


def rows(part: dict) -> Iterator[tuple[str, str]]:
    """Yield names and values of what a manifest says."""
    signer = part.get("signature_info", {})
    yield "signed by", f"{signer.get('common_name')} ({signer.get('issuer')})"
    for said in part.get("assertions", []):
        for action in said["data"]["actions"] if said["label"].startswith("c2pa.actions") else ():
            source = str(action.get("digitalSourceType", "")).removeprefix(KIND)
            how = " ".join(filter(None, (MADE.get(source, source), action.get("when"))))
            yield "what was done", f"{action.get('action', '')} {how}".removeprefix("c2pa.")
    for source in part.get("ingredients", []):
        yield "source", f"{source.get('title')} ({standing(source)})"


def standing(source: dict) -> str:
    """Return how the credentials of an ingredient were when it was opened, as its user recorded."""
    if not source.get("active_manifest"):
        return "without credentials"
    failed = source.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    codes = [failure["code"] for failure in failed if failure["code"] != UNKNOWN]
    return f"its credentials were not valid: {', '.join(codes)}" if codes else "valid credentials"


def problems(note: dict, path: Path) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a file."""
    results = note.get("validation_results", {})
    deltas = [delta.get("validationDeltas", {}) for delta in results.get("ingredientDeltas") or []]
    for found in (results.get("activeManifest", {}), *deltas):
        for failure in found.get("failure", []):
            if failure["code"] != UNKNOWN:
                yield "problem", f"{failure['code']}: {failure.get('explanation', '')}"
    with open(path, "rb") as file:
        head = file.read(8)
    real = ".mp4" if head[4:] == b"ftyp" else ""
    real = next((suffix for start, suffix in STARTS.items() if head.startswith(start)), real)
    if real and MEDIA.get(path.suffix.lower(), MEDIA[real]) != MEDIA[real]:
        yield "problem", f"it is a {real}, in spite of its name"


def row(pair: tuple[str, object]) -> str:
    """Return a line of a name and a value, without what could play tricks with a terminal."""
    name, value = pair
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    name, text = ("".join(c if c.isprintable() else "�" for c in part) for part in (name, text))
    return f"  {name[:18]:<14} {text if len(text) <= 300 else text[:299] + '…'}".rstrip()
