"""Which device computes, and in which precision it is fast."""

from __future__ import annotations

from contextlib import nullcontext

import torch


def pick_device(name: str | None = None) -> torch.device:
    """Return the named device, or the best one here: a CUDA card, else the processor.

    Raises:
        ValueError: the device is not here.
    """
    if name in (None, "auto"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if str(name).startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"no CUDA device here for {name!r}; leave the device out to use the CPU")
    try:
        return torch.device(name)
    except RuntimeError:
        raise ValueError(f"device {name!r} is not 'cpu', 'cuda' or 'auto'") from None


def fast_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the hardware has units for it, else float32.

    Without such units bfloat16 still works, but emulated: over a hundred times slower than
    float32 on an AVX2 processor.
    """
    if device.type == "cuda":
        return (
            torch.bfloat16
            if torch.cuda.is_bf16_supported(including_emulation=False)
            else torch.float32
        )
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        units = torch.cpu.get_capabilities()
        if any(units.get(name) for name in ("amx_bf16", "avx512_bf16", "sve_bf16")):
            return torch.bfloat16
    return torch.float32


def autocast(device: torch.device):
    """Return a context in which matrix products run in the device's fast precision."""
    dtype = fast_dtype(device)
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)
