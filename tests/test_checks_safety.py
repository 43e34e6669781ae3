"""The checks of notebook 14: right answers pass, typical mistakes are named."""

import hashlib
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature

sys.path.insert(0, str(Path(__file__).parent.parent / "notebooks"))
from checks import safety as check  # noqa: E402

TWINS = str.maketrans("\u0430\u0435\u043e4301", "aeoaeoi")


def shown(text, form="NFKC"):
    text = unicodedata.normalize(form, text).lower()
    return "".join(c for c in text if unicodedata.category(c) != "Cf")


def joined(text, least=2):
    return re.sub(rf"\b(?:\w ){{{least},}}\w\b", lambda run: run[0].replace(" ", ""), text)


def plain(text):
    return joined(shown(text).translate(TWINS))


def rates(refused, unsafe):
    caught = [r for r, u in zip(refused, unsafe, strict=True) if u]
    wronged = [r for r, u in zip(refused, unsafe, strict=True) if not u]
    return sum(caught) / len(caught), sum(wronged) / len(wronged)


def fits(note, signature, public):
    try:
        public.verify(signature, note)
    except InvalidSignature:
        return False
    return True


def hashed(pictures, note):
    return note[:64] == hashlib.sha256(pictures).hexdigest().encode()


def verdict(pictures, note, signature, public):
    if not fits(note, signature, public):
        return "forged"
    return "valid" if hashed(pictures, note) else "changed"


def hash_first(pictures, note, signature, public):
    if not hashed(pictures, note):
        return "changed"
    return "valid" if fits(note, signature, public) else "forged"


def in_note(alike):
    """A verdict that compares hashes in its own way."""

    def attempt(pictures, note, signature, public):
        want = hashlib.sha256(pictures).hexdigest().encode()
        changed = "valid" if alike(want, note) else "changed"
        return changed if fits(note, signature, public) else "forged"

    return attempt


RIGHT = {check.plain: plain, check.rates: rates, check.verdict: verdict}
WRONG = [
    (check.plain, lambda text: joined(shown(text, "NFC").translate(TWINS)), "NFKC"),
    (check.plain, lambda text: joined(shown(text)), "TWINS"),
    (check.plain, lambda text: shown(text).translate(TWINS), "spaced letters"),
    (check.plain, lambda text: plain(text).replace(" ", ""), "plain but for its capitals"),
    (check.plain, lambda text: joined(shown(text).translate(TWINS), 1), "two single letters"),
    (check.plain, lambda text: text.lower() if "see" in text else plain(text), "inside a text"),
    (check.rates, lambda r, u: rates(r, u)[::-1], "other way round"),
    (check.rates, lambda r, u: (0.3, 1 / 6), "UNSAFE"),
    (check.rates, lambda r, u: (0.75, 0.4), "precision"),
    (check.rates, lambda r, u: (0.6, 1 / 3), "precision"),
    (check.verdict, lambda p, n, s, k: "valid" if fits(n, s, k) else "forged", "were changed"),
    (check.verdict, lambda p, n, s, k: "valid" if hashed(p, n) else "changed", "new note"),
    (check.verdict, in_note(lambda want, note: want[:8] == note[:8]), "all of them"),
    (check.verdict, in_note(lambda want, note: want in note), "FIRST 64"),
    (check.verdict, hash_first, "signature comes first"),
]


@pytest.mark.parametrize("exercise", RIGHT, ids=lambda e: e.__name__)
def test_right_answers_pass(exercise, capsys):
    assert exercise(RIGHT[exercise]) is True, capsys.readouterr().out


@pytest.mark.parametrize(("exercise", "attempt", "told"), WRONG)
def test_mistakes_are_named(exercise, attempt, told, capsys):
    assert exercise(attempt) is False
    assert told in capsys.readouterr().out
