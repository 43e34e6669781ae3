"""Files and folders that are never half-written."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

UNFINISHED = ".minisora-unfinished-"


def write_whole(path: str | os.PathLike, write: Callable[[Path], object], folder=False) -> None:
    """Let `write` fill a file (or folder) in a temporary place, then rename it: all or nothing.

    Only a killed process leaves its temporary place behind; a day later the next writer into the
    same folder sweeps it away (not sooner: its writer may be at work still).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(f"{UNFINISHED}*"):
        if time.time() - old.stat().st_mtime > 86400:
            shutil.rmtree(old, ignore_errors=True)
    try:
        where = dict(prefix=UNFINISHED, dir=path.parent, ignore_cleanup_errors=True)
        with tempfile.TemporaryDirectory(**where) as place:
            temporary = Path(place) / path.name
            if folder:
                temporary.mkdir()
            write(temporary)
            if not folder:
                temporary.chmod(0o666 & ~_umask())  # safetensors would lock others out
            elif path.is_dir():
                path.rmdir()  # only an empty one makes way
            temporary.replace(path)
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = str(path)  # a full disk does not say where
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
