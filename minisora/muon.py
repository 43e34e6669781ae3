"""Muon: momentum, orthogonalised (Jordan et al. 2024, kellerjordan.github.io/posts/muon).

A gradient matrix is usually dominated by a few directions. Muon replaces the momentum M = U S Vᵀ
by U Vᵀ, so that every direction moves equally far. `torch.optim.Muon` does the same but always
computes in bfloat16, which a processor without bf16 units emulates more than a hundred times too
slowly (NOTES.md has the figures); this one works in the precision that the machine is fast at.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor


def orthogonalize(m: Tensor, steps: int = 5) -> Tensor:
    """Return about U Vᵀ for each matrix U S Vᵀ, by a quintic Newton-Schulz iteration.

    X ← aX + (bA + cA²)X with A = XXᵀ: it pushes all singular values towards 1 (0.7 to 1.2 is
    near enough), with matrix products alone.

    Args:
        m: `n rows columns`, n matrices.
        steps: how often.

    Returns:
        `n rows columns`.
    """
    a, b, c = 3.4445, -4.7750, 2.0315  # Jordan's coefficients: steepest at 0
    x = m / m.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x  # the product XXᵀ is smaller on this side
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; for the matrices inside a network.

    Embeddings, first and last layers, norms and biases belong to AdamW.

    Args:
        params: matrices.
        lr: learning rate; a step changes a square matrix by `lr` in spectral norm.
        momentum: share of the last momentum kept.
        decay: weight decay, a share of lr; it bounds the weights' norms by about 1/decay, which a
            long training needs (Liu et al. 2025, arXiv 2502.16982, section 2.2).
        dtype: in which to orthogonalise.
    """

    def __init__(
        self,
        params,
        lr: float = 0.02,
        momentum: float = 0.95,
        decay: float = 0.0,
        dtype=torch.float32,
    ):
        params = list(params)
        if any(p.ndim != 2 for p in params):
            raise ValueError("Muon takes matrices only; give vectors and tensors to AdamW")
        super().__init__(params, dict(lr=lr, momentum=momentum, decay=decay))
        self.dtype = dtype

    @torch.no_grad()
    def step(self):
        """Move every matrix by -lr · √max(1, rows/columns) · orthogonalize(momentum)."""
        for group in self.param_groups:
            by_shape = defaultdict(list)  # equal shapes go through one batched product
            for p in group["params"]:
                if p.grad is not None:
                    by_shape[p.shape].append(p)
            for (rows, columns), params in by_shape.items():
                updates = [self.nesterov(p, group["momentum"]) for p in params]
                updates = orthogonalize(torch.stack(updates).to(self.dtype))
                scale = group["lr"] * max(1, rows / columns) ** 0.5
                for p, update in zip(params, updates, strict=True):
                    p.mul_(1 - group["lr"] * group["decay"])
                    p.add_(update.to(p.dtype), alpha=-scale)

    def nesterov(self, p: Tensor, momentum: float) -> Tensor:
        """Update p's momentum and return it as seen one step ahead."""
        state = self.state[p]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(p)
        state["momentum"].lerp_(p.grad, 1 - momentum)
        return p.grad.lerp(state["momentum"], momentum)
