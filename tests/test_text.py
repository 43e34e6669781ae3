"""Captions to tokens to vectors: the world's words are known, and no other text is refused."""

import random
import re
import warnings

import pytest
import torch
from torch.testing import assert_close

from minisora import text
from minisora.text import BYTES, LENGTH, NULL, PAD, WORDS, TextEncoder, batch_tokens, tokenize
from minisora.world import captions, scenes
from minisora.world.sample import propose

SENTENCE = "a red sphere bounces, the camera orbits left"


def read(tokens):
    """The words and, joined, the bytes that tokens stand for."""
    names = {number: word for word, number in WORDS.items()}
    marks = [f" {names[n]} " if n in names else f"\\x{n - BYTES:02x}" for n in tokens]
    return "".join(marks).split()


def spelled(ending):
    return "".join(f"\\x{byte:02x}" for byte in ending.encode())


def caption_tokens(caption):
    """The tokens of a caption, without the limit."""
    return [token for word in text.split(caption) for token in text.pieces(word)]


# ---- words ----


def test_known_words_come_back():
    assert read(tokenize(SENTENCE)) == "a red sphere bounces , the camera orbits left".split()
    assert tokenize("  A RED\tSphere\nbounces ,the camera orbits LEFT") == tokenize(SENTENCE)


def test_every_word_of_the_grammar_has_its_own_token():
    tables = ("NOUNS", "SIZES", "VERBS", "CAMERAS", "GROUNDS", "SKIES")
    phrases = [p for t in tables for row in getattr(captions, t).values() for p in row]
    for word in re.findall(r"[a-z]+", " ".join([*phrases, *scenes.COLORS, captions.GLUE, "left"])):
        if word not in ("partner", "way"):
            assert text.pieces(word) == [WORDS[word]], word
    assert sorted(WORDS.values()) == list(range(BYTES + 256, text.VOCABULARY))


@pytest.mark.parametrize(
    ("word", "known", "rest"),
    [
        ("reddish", "red", "dish"),
        ("daylights", "daylight", "s"),  # not "day", though that is a beginning too
        ("spheres", "sphere", "s"),
        ("dog", "", "dog"),
        ("anteater", "", "anteater"),  # "a" and "an" are too short to mean anything
        ("7", "", "7"),
        ("grün", "", "grün"),
        ("球", "", "球"),
    ],
)
def test_an_unknown_word_is_its_longest_known_beginning_and_bytes(word, known, rest):
    assert read(tokenize(word)) == [*known.split(), spelled(rest)]


@pytest.mark.parametrize(
    "prompt",
    [
        "🎈🐕‍🦺 flies",
        "красный шар катится",
        "赤いボールが跳ねる",
        "كرة حمراء تقفز",
        "लाल गेंद",
        "a\x00red\x07\x1b[31m sphere\u200b\ufeff",
        "\ud800 lonely surrogate",
        "ﷺ ½ Ⅷ ² İ ß",
        "<script>alert('x')</script> {way} %s \\n _",
        "red_sphere",
    ],
)
def test_any_text_can_be_read(prompt):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokens = tokenize(prompt)
    assert 1 <= len(tokens) <= LENGTH
    assert all(BYTES <= token < text.VOCABULARY for token in tokens)


def test_control_characters_part_words():
    assert tokenize("a\x00red\x1bsphere\u200b") == tokenize("a red sphere")


@pytest.mark.parametrize("prompt", ["red " * 2500, "x" * 10_000, "🎈" * 10_000, "x" * 1_000_000])
def test_long_prompts_are_cut_with_a_short_warning(prompt):
    with pytest.warns(UserWarning, match="more than 48 tokens") as caught:
        tokens = tokenize(prompt)
    assert len(tokens) == LENGTH
    message = str(caught[0].message)
    assert len(message) < 120 and "\n" not in message


def test_48_tokens_are_not_too_many():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(tokenize("red " * 48)) == 48


@pytest.mark.parametrize("prompt", ["", "   ", "\n\t\x00\u200b", "___"])
def test_an_empty_prompt_is_refused(prompt):
    with pytest.raises(ValueError, match="empty") as error:
        tokenize(prompt)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("prompt", [None, 3, ["a red ball"], b"a red ball"])
def test_only_text_is_a_prompt(prompt):
    with pytest.raises(ValueError, match=f"a prompt is a text, not {type(prompt).__name__}"):
        tokenize(prompt)


def test_misspelling_draws_words_to_spell():
    spelt = tokenize(SENTENCE, 1.0, random.Random(0))
    assert bytes(token - BYTES for token in spelt).decode() == SENTENCE.replace(" ", "")
    some = [tokenize(SENTENCE, 0.3, random.Random(seed)) for seed in range(20)]
    assert some == [tokenize(SENTENCE, 0.3, random.Random(seed)) for seed in range(20)]
    assert len(set(map(tuple, some))) > 10
    assert tokenize(SENTENCE, 0.0, random.Random(0)) == tokenize(SENTENCE)


def test_a_misspelt_caption_is_cut_in_silence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(tokenize(SENTENCE * 5, 1.0, random.Random(0))) == LENGTH


# ---- captions fit ----


def three_objects(seed):
    return propose(random.Random(seed), "train", 3)


def test_canonical_captions_of_three_objects_fit():
    lengths = [len(caption_tokens(three_objects(seed).caption)) for seed in range(200)]
    assert 30 < max(lengths) <= LENGTH


class Wordy(random.Random):
    """Always takes the longest paraphrase."""

    order = 0.0

    def random(self):
        return self.order

    def choice(self, row):
        return max(row, key=lambda phrase: len(text.split(phrase)))


def test_the_wordiest_captions_fit():
    wordy = Wordy()
    for seed in range(200):
        for order in (0.0, 0.65, 0.75, 0.9):  # the four orders of `captions.arrange`
            wordy.order = order
            tokens = caption_tokens(captions.describe(three_objects(seed), "full", wordy))
            assert len(tokens) <= LENGTH


# ---- vectors ----


def test_captions_are_filled_up_behind_and_nothing_is_a_word_of_its_own():
    tokens = batch_tokens([[300, 301, 302], None, [303]])
    assert tokens.dtype == torch.int64
    expected = [[300, 301, 302], [NULL, PAD, PAD], [303, PAD, PAD]]
    assert tokens.tolist() == expected


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return TextEncoder(24, depth=2, heads=3).double().requires_grad_(False)


def test_filling_up_changes_no_vector(encoder):
    texts = [tokenize(SENTENCE), None, tokenize("blue cube"), tokenize("a dog")]
    together, mask = encoder(batch_tokens(texts))
    assert together.shape == (4, 9, 24) and mask.sum(1).tolist() == [9, 1, 2, 4]
    for i, tokens in enumerate(texts):
        alone, all_words = encoder(batch_tokens([tokens]))
        assert all_words.all()
        assert_close(together[i, mask[i]], alone[0])


def test_words_know_their_neighbours_and_places(encoder):
    def vectors(prompt):
        return encoder(batch_tokens([tokenize(prompt)]))[0][0]

    red = vectors("red cube blue sphere")
    assert (red[0] - vectors("red sphere blue cube")[0]).abs().max() > 0.01
    assert (red[0] - vectors("blue cube red sphere")[2]).abs().max() > 0.01


def test_the_longest_caption_has_a_place_for_every_token(encoder):
    assert encoder(batch_tokens([[300] * LENGTH]))[0].shape == (1, LENGTH, 24)
