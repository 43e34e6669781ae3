"""Weights in safetensors, exact resume, and files that are never half-written."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from minisora.captioner import Captioner, CaptionerConfig
from minisora.dit import DiT, DiTConfig
from minisora.files import write_whole
from minisora.judge import Judge, JudgeConfig
from minisora.vae import VAE, VAEConfig

MODELS = {"vae": (VAE, VAEConfig), "dit": (DiT, DiTConfig), "judge": (Judge, JudgeConfig)}
MODELS["captioner"] = Captioner, CaptionerConfig
SHIPPED = Path(__file__).parent / "weights"


def cache_folder() -> Path:
    """Return the folder for data and trainings in progress: MINISORA_CACHE or ~/.cache/minisora."""
    return Path(os.environ.get("MINISORA_CACHE") or Path.home() / ".cache" / "minisora")


def save_model(path: str | os.PathLike, model: nn.Module, half: bool = True) -> None:
    """Save a model's weights with the config that rebuilds it.

    Args:
        path: a .safetensors file.
        model: the model.
        half: in float16 (half the size; the error is far below that of training).
    """
    kind, config = type(model).__name__.lower(), json.dumps(asdict(model.config))
    state = {
        name: (t.half() if half and t.is_floating_point() and t.ndim > 1 else t).contiguous()
        for name, t in model.state_dict().items()
    }
    metadata = {"kind": kind, "config": config, "digest": digest(state, more=config)}
    save_tensors(path, state, metadata)


def save_tensors(path: str | os.PathLike, tensors: dict, metadata: dict | None = None) -> None:
    """Write a safetensors file, whole or not at all.

    Raises:
        OSError: the folder is closed to writing or full.
    """
    try:
        write_whole(path, lambda p: save_file(tensors, p, metadata=metadata))
    except SafetensorError as error:
        raise OSError(f"cannot write {path}: {error}") from None


def load_model(path: str | os.PathLike, kind: str) -> nn.Module:
    """Load a model saved by `save_model`, ready for use (float32, eval mode, on the CPU).

    Args:
        path: a .safetensors file.
        kind: "vae", "dit", "judge" or "captioner".

    Raises:
        ValueError: the file is missing, damaged, changed since it was saved, of another kind, or
            does not fit its config.
    """
    path = Path(path)
    if not path.is_file():
        how = f"minisora train {kind} --out {path.parent}"
        raise ValueError(f"no weights at {path}; {how!r} makes some")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged or not a safetensors file ({error})") from None
    if metadata.get("kind") != kind:
        found = metadata.get("kind", "something else")
        raise ValueError(f"{path} holds {found!r}, not minisora's {kind!r}")
    if metadata.get("digest") not in (None, digest(state, more=metadata.get("config", ""))):
        raise ValueError(f"{path} was changed since it was saved; copy it or train it again")
    model_class, config_class = MODELS[kind]
    try:
        values = json.loads(metadata["config"])
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        model = model_class(config_class(**values))
        model.load_state_dict({name: t.float() for name, t in state.items()})
    except Exception as error:  # a damaged config can fail in any way
        reason = one_line(error)
        told = f"the weights in {path} do not fit this version's {kind} ({reason})"
        raise ValueError(told) from None
    return model.eval().requires_grad_(False)


def one_line(error: Exception) -> str:
    """Return what an error says, on one line of at most 160 characters."""
    return " ".join(str(error).split())[:160] or type(error).__name__


def fingerprint(*models: nn.Module) -> str:
    """Return 12 hexadecimal digits that change with any weight."""
    return digest(*(model.state_dict() for model in models))[:12]


def digest(*states: dict[str, torch.Tensor], more: str = "") -> str:
    """Return the SHA-256, in hexadecimal digits, of tensors with their names and of a text."""
    total = hashlib.sha256(more.encode())
    for state in states:
        for name, tensor in sorted(state.items()):
            values = tensor.detach().float().cpu().contiguous()
            total.update(name.encode() + values.numpy().tobytes())
    return total.hexdigest()


def save_progress(path: Path, **parts) -> None:
    """Save all that an interrupted training needs: state dicts, numbers and lists of them."""
    try:
        write_whole(path, lambda p: torch.save(parts, p))
    except RuntimeError as error:  # torch's name for a full disk
        raise OSError(f"cannot write {path}; is the disk full? ({one_line(error)})") from None


def load_progress(path: Path) -> dict | None:
    """Load what `save_progress` saved, or None where there is nothing.

    Raises:
        ValueError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = one_line(error)
        raise ValueError(f"{path} is damaged ({reason}); delete it to begin again") from None
