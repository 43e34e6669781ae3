"""The policy's second look: pieces of words, windows, what it says, what it must let pass."""

import numpy as np
import pytest
from test_expand import HERE, rows_of

from minisora import learned, policy, world

UNSAFE = ["smash the kittens", "smashing a kitten", "he smashed kittens", "kitten smasher"]
FINE = ["smash the pumpkins", "stroking a kitten", "he fed the kittens", "a pumpkin rolls"]


@pytest.fixture(scope="module")
def toy():
    texts = [(text.split(), {}) for text in UNSAFE * 8 + FINE * 8]
    violence = learned.CATEGORIES.index("violence")
    return learned.fit(texts, [violence] * 32 + [0] * 32)


def test_pieces_are_shared_by_words_that_look_alike():
    kitten, kittens, pumpkin = map(learned.pieces, ("kitten", "kittens", "pumpkin"))
    assert len(np.intersect1d(kitten, kittens)) > 0.7 * len(kitten)
    assert len(np.intersect1d(kitten, pumpkin)) < 0.3 * len(kitten)
    assert all(0 <= bag.min() and bag.max() < learned.BUCKETS for bag in (kitten, pumpkin))


def test_it_tells_new_wordings_apart_and_says_why(toy):
    bad, good = (toy.judge(text.split()) for text in ("they smash a kitten", "they roll a pumpkin"))
    assert bad.chance > 0.6 > 0.4 > good.chance
    assert bad.category == "violence" and "smash" in bad.words
    assert toy.judge([]).chance == 0


def test_concepts_speak_whatever_words_name_them():
    texts = [("abc def".split(), {"harm": 0, "animal": 1}), ("abc def".split(), {"harm": 0})] * 40
    made = learned.fit(texts, [3, 0] * 40)
    new = "uvw xyz uvw".split()
    assert made.judge(new, {"harm": 0, "animal": 2}).chance > made.judge(new, {"harm": 0}).chance
    (_, second, _), (_, far, last) = (
        learned.bags(new, {"harm": 1, **more}) for more in ({}, {"animal": 2})
    )
    assert np.array_equal(second, far) and len(last) > len(second)


def test_a_long_text_is_as_suspicious_as_its_worst_part(toy):
    calm = "fed the pumpkins".split() * 30
    inside = toy.judge([*calm, *"they smash kittens".split(), *calm])
    assert inside.chance > 1.2 * toy.judge(calm).chance


def test_learning_repeats_and_is_saved_small(tmp_path):
    texts = [(text.split(), {}) for text in UNSAFE * 10 + FINE * 10]
    one, two = (learned.fit(texts, [3] * 40 + [0] * 40) for _ in range(2))
    assert np.array_equal(one.weights, two.weights) and np.array_equal(one.bias, two.bias)
    learned.save(one, tmp_path / "it.safetensors")
    assert (tmp_path / "it.safetensors").stat().st_size < 600_000


def test_the_worlds_own_language_passes():
    scenes = [world.sample_scene(seed, "heldout") for seed in range(200)]
    captions = [scene.caption for scene in scenes]
    files = ("free_prompts", "more_prompts", "blind_prompts")  # none of them was learnt
    captions += [row[0] for name in files for row in rows_of(HERE / f"{name}.tsv")]
    refused = [t for t in captions if policy.check(t).rule == "reads like what is refused"]
    assert not refused


def test_what_it_alone_refuses_is_told(monkeypatch):
    rules = policy.Lists(policy.LISTS)
    assert rules.judge("a red ball bounces on grass").checks == policy.CHECKS[:-1]
    assert "learned" in policy.check("a red ball bounces on grass").checks
    monkeypatch.setattr(policy, "LIMIT", -1.0)
    verdict = policy.check("a red ball bounces on grass")
    assert not verdict.allowed and verdict.rule == "reads like what is refused" and verdict.words


def test_it_overrules_a_rule_but_no_name(monkeypatch):
    asked = ["a knife stabs a man", "Taylor Swift walks a dog"]
    assert not any(policy.check(prompt).allowed for prompt in asked)
    monkeypatch.setattr(policy, "DOUBT", 1.0)
    assert [policy.check(prompt).allowed for prompt in asked] == [True, False]
