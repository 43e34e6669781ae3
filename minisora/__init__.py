"""minisora: Sora rebuilt from scratch at laptop scale.

Start with `sora = minisora.load()` and `sora.generate("a red sphere bounces", seed=0)`.
"""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["Sora", "Video", "load", "world"]


def __getattr__(name: str):
    """Import a part when it is first used, so that the command line starts at once."""
    from importlib import import_module

    home = {"load": "sora", "Sora": "sora", "Video": "video"}.get(name)
    if home:
        return getattr(import_module(f"minisora.{home}"), name)
    if name == "world":
        return import_module("minisora.world")
    raise AttributeError(f"module 'minisora' has no attribute {name!r}")
