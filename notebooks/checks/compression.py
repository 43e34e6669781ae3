"""Checks of notebook 02: PCA, a cloud of codes, causal convolution, bytes."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from checks import exercise, same
from checks.video import bits


def _normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _number(got, name: str) -> float:
    """Return a one-element answer as a float, or say what came instead."""
    assert got is not None, f"{name} returned None; is there a `return`?"
    assert not isinstance(got, torch.Tensor) or got.numel() == 1, (
        f"{name} should return one number, and yours has the shape {tuple(got.shape)}; "
        "average over all numbers"
    )
    return float(got)


@exercise("the best that any linear autoencoder can do with k numbers")
def keep(attempt) -> None:
    """PCA: rows `n d` to their best approximation by k numbers each."""
    rows = _normal(60, 6) @ _normal(6, 6, seed=1) + 5 * _normal(6, seed=2)
    mean = rows.mean(0)
    basis = torch.linalg.svd(rows - mean, full_matrices=False).Vh

    def rebuilt(vectors: torch.Tensor) -> torch.Tensor:
        return (rows - mean) @ vectors.T @ vectors + mean

    got, want = attempt(rows, 2), rebuilt(basis[:2])
    assert got is not None, "keep returned None; is there a `return`?"
    assert got.shape != (60, 2), (
        "you return the k numbers themselves (60 × 2): now go back to 6 numbers a row"
    )
    assert got.shape == rows.shape, f"expected the shape (60, 6), got {tuple(got.shape)}"

    def close(wrong: torch.Tensor) -> bool:
        return float((got - wrong).abs().max()) < 1e-3

    raw = torch.linalg.svd(rows, full_matrices=False).Vh[:2]
    assert not close(rows @ raw.T @ raw), (
        "you never subtracted the mean: the first direction is spent on pointing at it"
    )
    assert not close(rows @ basis[:2].T @ basis[:2]), (
        "subtract the mean before projecting as well, not only for finding the directions"
    )
    assert not close(want - mean), "add the mean back at the end"
    assert not close(rebuilt(basis[-2:])), (
        "you kept the directions of least spread: eigh sorts upwards, svd downwards"
    )
    columns = (rows - mean) @ basis[:, :2] @ basis[:, :2].T + mean
    assert not close(columns), "Vh holds one direction in each ROW: take Vh[:k], not Vh[:, :k]"
    eigh = torch.linalg.eigh((rows - mean).T @ (rows - mean)).eigenvectors
    assert not close(rebuilt(eigh[-2:])), "eigh holds the directions in its COLUMNS, the last first"
    off = float((got - want).abs().max())
    assert off < 1e-3 or off > 1, (
        "nearly: pca_lowrank and svd_lowrank only approximate; use linalg.svd or linalg.eigh"
    )
    same(got, want, "two numbers a row", 1e-3)
    same(attempt(rows, 6), rows, "with all six numbers nothing should be lost", 1e-3)


@exercise("noise as an input: the gradient flows through mean and spread")
def draw(attempt) -> None:
    """The reparametrisation: mean + std · noise, given the log variance."""
    mean, log_variance, noise = (_normal(2, 3, 4, seed=s) for s in range(3))
    got = attempt(mean, log_variance, noise)
    want = mean + (0.5 * log_variance).exp() * noise
    assert got is not None, "draw returned None; is there a `return`?"
    if got.shape == want.shape:
        assert not got.isnan().any(), (
            "NaN: log σ² is often negative and has no square root; σ = exp(½·log σ²)"
        )
        mistakes = {
            "that multiplies by the variance; its square root is the spread: exp(½·log σ²)": mean
            + log_variance.exp() * noise,
            "log σ² is still a logarithm: undo it with exp": mean + log_variance * noise,
            "σ = exp(½·log σ²); ½·log σ² alone is log σ": mean + 0.5 * log_variance * noise,
            "the mean is missing": want - mean,
        }
        for why, wrong in mistakes.items():
            assert float((got - wrong).abs().max()) > 1e-4, why
    same(got, want, "mean + std · noise (the noise that comes in, none of your own)")


@exercise("each output sees itself and the past, and nothing of the future")
def causal_conv(attempt) -> None:
    """A causal 1-D convolution: `b i t` and a kernel `o i k` to `b o t`."""
    x, kernel = _normal(2, 3, 7), _normal(4, 3, 3, seed=1)
    got = attempt(x, kernel)
    want = F.conv1d(F.pad(x, (2, 0)), kernel)
    assert got is not None, "causal_conv returned None; is there a `return`?"
    assert got.shape[-1] != 5, "two moments are lost: put k−1 zeros before the first"
    assert got.shape[-1] != 9, (
        "padding=k−1 pads both ends, so two moments too many come out: cut the last two off, "
        "or pad the left end only"
    )
    assert got.shape == want.shape, (
        f"expected the shape {tuple(want.shape)}, got {tuple(got.shape)}"
    )
    later = x.clone()
    later[..., -1] += 1
    leak = (attempt(later, kernel) - got)[..., :-1].abs().max() > 1e-5
    assert not leak, (
        "changing the last moment changed an earlier output: the window still looks ahead; "
        "all k−1 zeros belong on the left, F.pad(x, (left, right))"
    )
    assert not torch.allclose(got, F.conv1d(F.pad(x, (2, 0)), kernel.flip(-1)), atol=1e-4), (
        "the kernel is turned round: its last tap belongs to the present"
    )
    same(got, want, "kernel of three")
    five = _normal(4, 3, 5, seed=2)
    same(attempt(x, five), F.conv1d(F.pad(x, (4, 0)), five), "kernel of five: is the 2 fixed?")


@exercise("the honest size of a clip: entropy, not the count of numbers")
def price(attempt) -> None:
    """Bytes a clip of whole numbers `b k n` with a code for each channel."""
    one = torch.tensor([0, 0, 0, 0, 1, 1, 2, 3])  # 1.75 bits each
    two = torch.tensor([9, -9]).repeat(4)  # 1 bit each
    symbols = torch.stack([one, two, 0 * one], 0).expand(5, 3, 8)  # b k n
    got, want = _number(attempt(symbols), "price"), (1.75 + 1) * 8 / 8
    pooled = float(bits(symbols.numpy()))
    mistakes = {
        8 * want: "these are bits: a byte has eight",
        5 * want: "that is for all five clips: return the bytes for one",
        40 * want: "these are bits, and for all five clips",
        want / 8: "bits(…) is for one number, and each channel has n of them in a clip",
        want / 3: "add the channels up instead of averaging them",
        pooled * 3: "one code for all channels together costs more: give each channel its own",
        1.75: "only the first channel is counted: add up all of them",
    }
    for wrong, why in mistakes.items():
        assert abs(got - wrong) > 1e-4, f"you return {got:.3f} bytes for {want:.3f}: {why}"
    assert abs(got - want) < 1e-4, f"expected {want:.3f} bytes a clip, got {got:.3f}"
