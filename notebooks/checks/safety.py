"""Checks of notebook 14: what a reader sees, the two rates, a signed note."""

from __future__ import annotations

import hashlib
import math

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from checks import exercise


@exercise("whatever the disguise, the reader's word comes out")
def plain(attempt) -> None:
    """A text without its disguises."""
    got = attempt("A Red Ball")
    assert got is not None, "plain returned None; is there a `return`?"
    assert got == "a red ball", f"'A Red Ball' is plain but for its capitals, got {got!r}"
    for text, what in (
        ("\uff4e\uff41\uff4b\uff45\uff44", "full-width letters: NFKC turns them into plain ones"),
        ("n\u200baked", "a zero-width space is left: drop the category 'Cf'"),
        ("n\u0430ked", "the Cyrillic а is left: translate with TWINS"),
        ("n4k3d", "digits are left: translate with TWINS"),
        ("\uff2e\u200b4K\u0435d", "several disguises at once: mind the order"),
        ("n a k e d", "spaced letters are left: join three or more that stand alone"),
        ("n 4 k e d", "spaced letters of which one is a digit: translate before you join"),
    ):
        got = attempt(text)
        assert got == "naked", f"{what} ({text!r} became {got!r})"
    for text, wanted, what in (
        ("a cat and I", "a cat and i", "single letters apart from each other stay"),
        ("plan a b now", "plan a b now", "two single letters are no word yet"),
        ("see n a k e d people", "see naked people", "join letters inside a text, too"),
    ):
        got = attempt(text)
        assert got == wanted, f"{what}: {text!r} became {got!r}"


@exercise("two numbers, and neither means much without the other")
def rates(attempt) -> None:
    """Recall and the rate of false refusals."""
    refused = [True, True, False, True, True, True, False, False, False, False]
    unsafe = [True, True, True, True, False, False, False, False, False, False]
    got = attempt(refused, unsafe)
    assert got is not None, "rates returned None; is there a `return`?"
    assert len(got) == 2, "return two numbers: recall, false refusals"
    recall, false = map(float, got)

    def is_(value: float, wrong: float) -> bool:
        return math.isclose(value, wrong, rel_tol=1e-3)

    assert not (is_(recall, 1 / 3) and is_(false, 3 / 4)), "the other way round: recall first"
    assert not is_(recall, 3), "3 caught is right; divide by the number of unsafe prompts"
    assert not is_(recall, 75), "from 0 to 1, not per cent"
    assert not is_(recall, 3 / 10), "divide by the UNSAFE prompts, 4, not by all of them"
    assert not is_(recall, 3 / 5), "3 of 5 refusals are right, which is precision: divide by the 4"
    assert is_(recall, 3 / 4), f"3 of the 4 unsafe prompts are refused: 0.75, not {recall:.3f}"
    assert not is_(false, 2 / 5), (
        "2 of 5 refusals are wrong, but that is another question (1 − precision): the rate of "
        "false refusals is over the 6 harmless prompts"
    )
    assert is_(false, 1 / 3), f"2 of 6 harmless prompts are refused: 0.333, not {false:.3f}"


@exercise("unchanged, and signed by the holder of the key. No more than that, and no less")
def verdict(attempt) -> None:
    """What a signed note says of pictures."""
    key, stranger = (Ed25519PrivateKey.from_private_bytes(bytes([i] * 32)) for i in (1, 2))
    pictures, public = b"pictures" * 9, key.public_key()

    def note(data: bytes) -> bytes:
        return hashlib.sha256(data).hexdigest().encode() + b" made by a model"

    mine = note(pictures)
    signature = key.sign(mine)
    got = attempt(pictures, mine, signature, public)
    assert got is not None, "verdict returned None; is there a `return` on every way through?"
    assert got == "valid", f"nothing was touched here, and yet it says {got!r}"
    got = attempt(pictures + b"!", mine, signature, public)
    assert got != "valid", "the pictures were changed: compare their hash with that in the note"
    assert got == "changed", f"note and signature fit, only the pictures changed: got {got!r}"
    swapped = note(pictures + b"!")
    got = attempt(pictures + b"!", swapped, signature, public)
    assert got != "valid", "somebody wrote a new note; the old signature does not fit it"
    assert got == "forged", f"the signature does not fit the note: 'forged', got {got!r}"
    got = attempt(pictures, mine, stranger.sign(mine), public)
    assert got == "forged", f"another key signed it, which `public` does not fit: got {got!r}"
    got = attempt(pictures + b"!", mine, stranger.sign(mine), public)
    assert got == "forged", (
        "both are wrong: the signature comes first, as an unsigned note says nothing about pictures"
    )
    other = note(pictures + b"!")
    near, behind = mine[:8] + other[8:64] + b" by a model", other + b", before: " + mine[:64]
    for signed in (near, behind):
        assert attempt(pictures, signed, key.sign(signed), public) == "changed", (
            "the hash is the note's FIRST 64 digits, and all of them have to fit the pictures"
        )
    lie = mine.replace(b"a model", b"a child")
    assert attempt(pictures, lie, signature, public) == "forged", (
        "the words behind the hash are signed, too: verify the whole note"
    )
