"""Checks of notebook 09: what padding wastes, the mask of a pack, which bucket."""

from __future__ import annotations

import math

import torch

from checks import exercise


@exercise("and each of those empty tokens costs as much as a full one")
def waste(attempt) -> None:
    """The share of empty tokens in a padded batch."""
    lengths = [160, 32, 288, 160]
    got = attempt(lengths)
    assert got is not None, "waste returned None; is there a `return`?"
    got, full, real = float(got), 4 * 288, sum(lengths)
    empty = full - real

    def is_(wrong: float) -> bool:
        return math.isclose(got, wrong, rel_tol=1e-3)

    assert not is_(real / full), "that is the share that is used; what is empty is the rest of 1"
    assert not is_(empty), f"{empty} empty tokens is right; divide by all tokens of the padded box"
    assert not is_(empty / real), (
        "you divide by the real tokens; the share is of all that are computed, empty or not"
    )
    assert not is_(100 * empty / full), "a share from 0 to 1, not per cent"
    assert not is_(1 - real / 288), "the box has one row for EACH clip: count them all"
    assert is_(empty / full), (
        f"clips of {lengths} tokens: the box holds 4 × 288 = {full}, {real} of them are real; "
        f"expected {empty / full:.3f}, got {got:.3f}"
    )
    assert abs(float(attempt([7, 7, 7]))) < 1e-6, "equal lengths waste nothing"


@exercise("blocks along the diagonal: nobody reads over another's shoulder")
def own_clip(attempt) -> None:
    """Which packed tokens may look at which."""
    lengths = [2, 3, 1]
    got = attempt(lengths)
    assert got is not None, "own_clip returned None; is there a `return`?"
    assert torch.is_tensor(got), f"expected a tensor, not {type(got).__name__}"
    owner = torch.tensor([0, 0, 1, 1, 1, 2])
    want = owner[:, None] == owner
    assert got.shape == (6, 6), (
        f"2 + 3 + 1 tokens look at 2 + 3 + 1 tokens: expected (6, 6), got {tuple(got.shape)}"
    )
    assert got.dtype == torch.bool, (
        f"attention takes a mask of True and False; a {got.dtype} mask would be ADDED to the logits"
    )
    assert not torch.equal(got, ~want), "turned round: True is where a token MAY look"
    assert not torch.equal(got, torch.eye(6).bool()), (
        "each token sees only itself: it may look at all tokens of its clip"
    )
    assert not torch.equal(got, want.tril()), (
        "that is causal, as in a language model: patches may look at later ones of their clip, too"
    )
    assert got.diagonal().all(), "each token may look at itself, at least"
    assert not (got & ~want).any(), "some tokens look into another clip: the clips are 00 111 2"
    assert torch.equal(got, want), "some tokens cannot see all of their own clip"
    assert torch.equal(attempt([4]), torch.ones(4, 4).bool()), "one clip alone sees all of itself"
    twins = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)).bool()
    assert torch.equal(attempt([2, 2]), twins), "two clips of one length are still two clips"


@exercise("the least is cropped away, and no frame is invented")
def bucket_of(attempt) -> None:
    """The bucket into which a clip goes."""
    square, wide, tall, slow = (64, 64, 17), (80, 48, 17), (48, 80, 17), (64, 64, 33)
    buckets = [square, wide, tall, slow]
    assert attempt(640, 480, 17, buckets) is not None, "bucket_of returned None; is there a return?"

    def goes(*clip):
        got = attempt(*clip, buckets)
        return got if got is None else tuple(got)

    got = goes(1920, 1080, 20)
    assert got != tall, "a wide clip in the tall bucket: aspect is width / height for both"
    assert got == wide, f"1920×1080 with 20 frames is wide: expected {wide}, got {got}"
    assert goes(1080, 1920, 20) == tall, "1080×1920 is tall: " + str(tall)
    assert goes(79, 100, 20) != tall, (
        "79×100 turned on its side is 100×79, which is square; compare the LOGARITHM of the aspect "
        "ratios, so that both are treated alike"
    )
    got = goes(500, 500, 20)
    assert got != slow, "20 frames cannot fill 33: frames can be left out but not invented"
    assert got == square, f"a square clip of 20 frames: expected {square}, got {got}"
    got = goes(500, 500, 100)
    assert got != square, "100 frames fill 33: of the buckets of one shape take the longest"
    assert got == slow, f"a square clip of 100 frames: expected {slow}, got {got}"
    assert goes(1920, 1080, 100) == wide, (
        "shape comes first: a wide clip stays wide, even if a longer square bucket is there"
    )
    few = [(80, 48, 33), (64, 64, 17)]
    assert attempt(1920, 1080, 20, few) == few[1], (
        "20 frames cannot fill the wide bucket of 33: the square one is the nearest that is left"
    )
    assert goes(500, 500, 9) is None, "9 frames fill none of these buckets: return None"
