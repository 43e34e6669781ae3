"""The policy's second look: pieces of words, windows, what it says, what it must let pass."""

import numpy as np
import pytest
from test_expand import HERE, rows_of

from minisora import learned, policy, world

UNSAFE = ["smash the kittens", "smashing a kitten", "he smashed kittens", "kitten smasher"]
FINE = ["smash the pumpkins", "stroking a kitten", "he fed the kittens", "a pumpkin rolls"]


@pytest.fixture(scope="module")
def toy():
    texts = [text.split() for text in UNSAFE * 8 + FINE * 8]
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


def test_a_long_text_is_as_suspicious_as_its_worst_part(toy):
    calm = "fed the pumpkins".split() * 30
    inside = toy.judge([*calm, *"they smash kittens".split(), *calm])
    assert inside.chance > 1.2 * toy.judge(calm).chance


def test_learning_repeats_and_keeps_its_promise_on_harmless_texts(tmp_path):
    texts = [text.split() for text in UNSAFE * 10 + FINE * 10]
    answers, passed = [3] * 40 + [0] * 40, [True] * 80
    one, two = (learned.learn(texts, answers, passed) for _ in range(2))
    assert np.array_equal(one.weights, two.weights) and one.limit == two.limit
    over = [one.judge(text).chance > one.limit for text in texts[40:]]
    assert np.mean(over) < 0.1
    learned.save(one, tmp_path / "it.safetensors")
    assert (tmp_path / "it.safetensors").stat().st_size < 600_000


def test_the_worlds_own_language_passes():
    scenes = [world.sample_scene(seed, "heldout") for seed in range(200)]
    captions = [scene.caption for scene in scenes]
    files = ("free_prompts", "more_prompts", "blind_prompts")  # none of them was learnt
    captions += [row[0] for name in files for row in rows_of(HERE / f"{name}.tsv")]
    refused = [t for t in captions if policy.check(t).rule == "reads like what is refused"]
    assert not refused


def test_what_it_alone_refuses_is_told():
    rules = policy.Lists(policy.LISTS)
    always = learned.Classifier(*vars(learned.classifier()).values())
    always.limit = -1.0
    verdict = policy.Lists(policy.LISTS, always).judge("a red ball bounces on grass")
    assert not verdict.allowed and verdict.rule == "reads like what is refused" and verdict.words
    assert rules.judge("a red ball bounces on grass").checks == policy.CHECKS[:-1]
    assert "learned" in policy.check("a red ball bounces on grass").checks
