"""The policy's second look: a linear classifier over pieces of words, learnt from the red-team set.

Lists find words; most of what passes them is an old request in new words. Here each word is cut
into pieces of two to six letters, which are hashed into buckets (Weinberger et al. 2009, arXiv
0902.2206; Bojanowski et al. 2017, arXiv 1607.04606), and a softmax over the policy's categories
and "harmless" weighs them. No black box: a score is a sum over words, so it says which ones spoke.

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
LEAST = 100  # pieces by whose root a short text is divided: a word or two prove little
WINDOW = 24  # words that are judged together; half of them again in the next window
FALSE = 0.01  # of the harmless prompts that pass the rules, what may be refused here in error


@lru_cache(10_000)
def pieces(word: str) -> np.ndarray:
    """Return the buckets of a word's pieces, int64."""
    framed = f" {word} "
    cuts = {framed[i : i + n] for n in range(2, 7) for i in range(len(framed) - n + 1)}
    return np.array([zlib.crc32(cut.encode()) % BUCKETS for cut in sorted(cuts)])


def bags(words: list[str]) -> list[np.ndarray]:
    """Return for each word the buckets of its pieces, and of it together with the one before."""
    pairs = zip(["", *words], words, strict=False)
    both = [zlib.crc32(f"{before} {word}".encode()) % BUCKETS for before, word in pairs]
    return [np.append(pieces(word), pair) for word, pair in zip(words, both, strict=True)]


class Suspicion(NamedTuple):
    """What the classifier thinks of a text."""

    chance: float  # that it is not harmless
    category: str  # the likeliest
    words: list[str]  # that speak most for it


class Classifier:
    """Weights `buckets category`, a bias for each category, and the chance that is too much."""

    def __init__(self, weights: np.ndarray, bias: np.ndarray, limit: float):
        self.weights, self.bias, self.limit = weights, bias, limit

    def judge(self, words: list[str]) -> Suspicion:
        """Return what is thought of the most suspicious window of a text's folded words."""
        if not words:
            return Suspicion(0.0, CATEGORIES[1], [])
        found = bags(words)
        votes = np.stack([self.weights[bag].sum(0, dtype=np.float32) for bag in found])
        sums = np.concatenate([np.zeros_like(votes[:1]), votes.cumsum(0)])
        counts = np.cumsum([0, *map(len, found)])
        long = len(words) > WINDOW * 4 // 3
        starts = np.arange(0, len(words) - WINDOW // 2, WINDOW // 2) if long else np.array([0])
        ends = np.minimum(starts + WINDOW, len(words)) if long else np.array([len(words)])
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
    return Classifier(weights, parts["bias"], float(parts["limit"][0]))


def fit(texts: list[list[str]], answers: list[int], seed: int = 0) -> Classifier:
    """Learn to tell texts, each a list of folded words, by their numbers in `CATEGORIES`."""
    import torch
    import torch.nn.functional as F

    found = [torch.from_numpy(np.concatenate(bags(words))) for words in texts]
    weights = torch.zeros(BUCKETS, len(CATEGORIES), requires_grad=True)
    bias = torch.zeros(len(CATEGORIES), requires_grad=True)
    optimizer = torch.optim.Adam([weights, bias], lr=0.02)
    truth, generator = torch.tensor(answers), torch.Generator().manual_seed(seed)
    for _ in range(12):
        for batch in torch.randperm(len(found), generator=generator).split(64):
            some = [found[i] for i in batch]
            lengths = torch.tensor([len(bag) for bag in some])
            sums = F.embedding_bag(
                torch.cat(some), weights, lengths.cumsum(0) - lengths, mode="sum"
            )
            logits = sums / lengths.clamp_min(LEAST).sqrt()[:, None] + bias
            loss = F.cross_entropy(logits, truth[batch])
            loss = loss + 2e-5 * weights.square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Classifier(weights.detach().numpy(), bias.detach().numpy(), 1.0)


def learn(
    texts: list[list[str]], answers: list[int], passed: list[bool], folds: int = 5
) -> Classifier:
    """Learn a classifier and its limit.

    Args:
        texts, answers: as in `fit`.
        passed: whether the rules let a text pass.
        folds: a text's chance comes from a classifier that has not seen its fold; the limit is what
            `FALSE` of the harmless texts that pass the rules exceed.
    """
    chances = np.zeros(len(texts))
    for fold in range(folds):
        rest = [i for i in range(len(texts)) if i % folds != fold]
        other = fit([texts[i] for i in rest], [answers[i] for i in rest])
        for i in range(fold, len(texts), folds):
            chances[i] = other.judge(texts[i]).chance
    harmless = np.array([p and not a for a, p in zip(answers, passed, strict=True)])
    whole = fit(texts, answers)
    whole.limit = float(np.quantile(chances[harmless], 1 - FALSE))
    return whole


def save(made: Classifier, path: Path = FILE) -> None:
    """Write a classifier, its weights as bytes."""
    from safetensors.numpy import save_file

    from minisora.files import write_whole

    scale = np.abs(made.weights).max() / 127
    parts = {
        "weights": np.rint(made.weights / scale).astype(np.int8),
        "bias": made.bias,
        "scale": np.float32(scale)[None],
        "limit": np.float32(made.limit)[None],
    }
    write_whole(path, lambda temporary: save_file(parts, temporary))
