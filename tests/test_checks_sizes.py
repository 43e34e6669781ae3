"""The checks of notebook 09: right answers pass, typical mistakes are named."""

import math
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "notebooks"))
from checks import sizes as check  # noqa: E402

from minisora.inputs import SIZES, nearest_size  # noqa: E402
from minisora.patches import pack  # noqa: E402


def shape(bucket, width, height):
    return abs(math.log(bucket[0] / bucket[1] * height / width))


def bucket_of(w, h, frames, buckets):
    fits = (b for b in buckets if b[2] <= frames)
    return min(fits, key=lambda b: (shape(b, w, h), -b[2]), default=None)


def owned(lengths):
    return pack([torch.zeros(n, 1) for n in lengths])[1]


RIGHT = {
    check.waste: lambda lengths: 1 - sum(lengths) / (len(lengths) * max(lengths)),
    check.own_clip: owned,
    check.bucket_of: bucket_of,
}


def waste(lengths):
    return RIGHT[check.waste](lengths)


def by_length(lengths):
    """Tokens named by their clip's length instead of its number."""
    names = torch.tensor(lengths).repeat_interleave(torch.tensor(lengths))
    return names[:, None] == names


def shape_first(w, h, frames, buckets):
    """The nearest shape, whether the clip can fill a bucket of it or not."""
    least = min(shape(b, w, h) for b in buckets)
    return bucket_of(w, h, frames, [b for b in buckets if shape(b, w, h) == least])


WRONG = [
    (check.waste, lambda n: 1 - waste(n), "is used"),
    (check.waste, lambda n: waste(n) / (1 - waste(n)), "real tokens"),
    (check.waste, lambda n: 100 * waste(n), "per cent"),
    (check.waste, lambda n: len(n) * max(n) - sum(n), "divide"),
    (check.own_clip, lambda n: ~owned(n), "turned round"),
    (check.own_clip, lambda n: owned(n).float(), "ADDED"),
    (check.own_clip, lambda n: torch.eye(sum(n)).bool(), "only itself"),
    (check.own_clip, lambda n: owned(n).tril(), "causal"),
    (check.own_clip, lambda n: torch.ones(sum(n), sum(n)).bool(), "another clip"),
    (check.own_clip, by_length, "of one length"),
    (check.bucket_of, lambda w, h, t, b: bucket_of(h, w, t, b), "width / height"),
    (
        check.bucket_of,
        lambda w, h, t, b: min(
            (k for k in b if k[2] <= t), key=lambda k: (abs(k[0] / k[1] - w / h), -k[2])
        ),
        "LOGARITHM",
    ),
    (
        check.bucket_of,
        lambda w, h, t, b: min(b, key=lambda k: (shape(k, w, h), -k[2])),
        "not invented",
    ),
    (
        check.bucket_of,
        lambda w, h, t, b: min((k for k in b if k[2] <= t), key=lambda k: shape(k, w, h)),
        "the longest",
    ),
    (check.bucket_of, shape_first, "nearest that is left"),
]


@pytest.mark.parametrize("exercise", RIGHT, ids=lambda e: e.__name__)
def test_right_answers_pass(exercise, capsys):
    assert exercise(RIGHT[exercise]) is True, capsys.readouterr().out


@pytest.mark.parametrize(("exercise", "attempt", "told"), WRONG)
def test_mistakes_are_named(exercise, attempt, told, capsys):
    assert exercise(attempt) is False
    assert told in capsys.readouterr().out


@pytest.mark.parametrize("size", [(100, 79), (79, 100), (1920, 1080), (333, 777)])
def test_the_package_chooses_the_same_shape(size):
    buckets = [(*shape, 17) for shape in SIZES]
    assert bucket_of(*size, 20, buckets)[:2] == nearest_size(*size)
