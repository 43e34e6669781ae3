"""The policy's second look: a linear classifier over words and concepts, learnt from attacks.

Rules forbid what somebody thought of; most of what passes them is an old request in new words. Here
each word is cut into pieces of two to six letters, which are hashed into buckets (Weinberger et al.
2009, arXiv 0902.2206; Bojanowski et al. 2017, arXiv 1607.04606). So are the concepts that the lists
find in the text, in whatever language, and each two of them. A softmax over the policy's categories
and "harmless" weighs it all. No black box: a score is a sum, so it says which words spoke.

    minisora redteam --learn        # learns it anew from `redteam_prompts/`, in half a minute
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

FILE = Path(__file__).with_name("policy_words") / "learned.safetensors"
CATEGORIES = "harmless,public figure,sexual,violence,hateful,self-harm,deceptive,dangerous".split(
    ","
)
BUCKETS = 2**16
CONCEPT, PAIR = 3, 2  # how often a concept counts, and two of them together
LEAST = 100  # pieces by whose root a short text is divided: a word or two prove little
WIDE, NEAR = 96, 36  # words that are judged together; half of them again in the next window
LIMIT = 0.5  # what is more likely than this not to be harmless is refused
DOUBT = 0.4  # what is less likely in every near window is allowed, whatever a rule says


@lru_cache(10_000)
def pieces(word: str) -> np.ndarray:
    """Return the buckets of a word's pieces, int64."""
    framed = f" {word} "
    cuts = {framed[i : i + n] for n in range(2, 7) for i in range(len(framed) - n + 1)}
    return np.array([zlib.crc32(cut.encode()) % BUCKETS for cut in sorted(cuts)])


def bags(words: list[str], concepts: dict[str, int]) -> list[np.ndarray]:
    """Return for each word the buckets of what speaks there, int64.

    That is the word's pieces, it together with the word before, the concepts that are first met at
    it (`concepts` says at which word), and each of these together with those met before.
    """
    said = [[f"{before} {word}"] for before, word in zip(["", *words], words, strict=False)]
    met = sorted(concepts.items(), key=lambda pair: (pair[1], pair[0]))
    for i, (name, at) in enumerate(met):
        pairs = (" ".join(sorted((name, other))) for other, _ in met[:i])
        said[at] += [f"#{name}"] * CONCEPT + [f"#{pair}" for pair in pairs for _ in range(PAIR)]
    marks = ([zlib.crc32(mark.encode()) % BUCKETS for mark in row] for row in said)
    return [np.append(pieces(word), row) for word, row in zip(words, marks, strict=True)]


class Suspicion(NamedTuple):
    """What the classifier thinks of a text."""

    chance: float  # that it is not harmless
    category: str  # the likeliest
    words: list[str]  # that speak most for it


class Classifier:
    """Weights `buckets category` and a bias for each category."""

    def __init__(self, weights: np.ndarray, bias: np.ndarray):
        self.weights, self.bias = weights, bias

    def judge(self, words: list[str], concepts: dict | None = None, window=WIDE) -> Suspicion:
        """Return what is thought of the most suspicious window of a text, given as in `bags`."""
        if not words:
            return Suspicion(0.0, CATEGORIES[1], [])
        found = bags(words, concepts or {})
        votes = np.stack([self.weights[bag].sum(0, dtype=np.float32) for bag in found])
        sums = np.concatenate([np.zeros_like(votes[:1]), votes.cumsum(0)])
        counts = np.cumsum([0, *map(len, found)])
        starts = np.arange(0, max(1, len(words) - window // 2), window // 2)
        starts = starts if len(words) > window * 4 // 3 else starts[:1]
        ends = np.minimum(starts + window, len(words)) if len(starts) > 1 else [len(words)]
        size = np.sqrt(np.maximum(counts[ends] - counts[starts], LEAST))[:, None]
        logits = (sums[ends] - sums[starts]) / size + self.bias
        chances = np.exp(logits - logits.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        worst = chances[:, 0].argmin()
        kind = 1 + chances[worst, 1:].argmax()
        start, end = starts[worst], ends[worst]
        loud = (votes[start:end, kind] - votes[start:end, 0]).argsort()[::-1][:3]
        spoke = [words[start + i] for i in sorted(loud)]
        return Suspicion(float(1 - chances[worst, 0]), CATEGORIES[kind], spoke)


@lru_cache(1)
def classifier() -> Classifier:
    """Return the shipped classifier, read once."""
    from safetensors.numpy import load_file

    parts = load_file(FILE)
    weights = parts["weights"].astype(np.float32) * parts["scale"]
    return Classifier(weights, parts["bias"])


def fit(texts: list[tuple[list[str], dict]], answers: list[int], seed: int = 0) -> Classifier:
    """Learn to tell texts, each as in `bags`, by their numbers in `CATEGORIES`."""
    import torch
    import torch.nn.functional as F

    found = [torch.from_numpy(np.concatenate(bags(*text))) for text in texts]
    weights = torch.zeros(BUCKETS, len(CATEGORIES), requires_grad=True)
    bias = torch.zeros(len(CATEGORIES), requires_grad=True)
    optimizer = torch.optim.Adam([weights, bias], lr=0.02)
    truth, generator = torch.tensor(answers), torch.Generator().manual_seed(seed)
    for _ in range(12):
        for batch in torch.randperm(len(found), generator=generator).split(64):
            some = [found[i] for i in batch]
            lengths = torch.tensor([len(bag) for bag in some])
            begins = lengths.cumsum(0) - lengths
            sums = F.embedding_bag(torch.cat(some), weights, begins, mode="sum")
            logits = sums / lengths.clamp_min(LEAST).sqrt()[:, None] + bias
            loss = F.cross_entropy(logits, truth[batch])
            loss = loss + 2e-5 * weights.square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Classifier(weights.detach().numpy(), bias.detach().numpy())


def save(made: Classifier, path: Path = FILE) -> None:
    """Write a classifier, its weights as bytes."""
    from safetensors.numpy import save_file

    from minisora.files import write_whole

    scale = np.abs(made.weights).max() / 127
    parts = {
        "weights": np.rint(made.weights / scale).astype(np.int8),
        "bias": made.bias,
        "scale": np.float32(scale)[None],
    }
    write_whole(path, lambda temporary: save_file(parts, temporary))
