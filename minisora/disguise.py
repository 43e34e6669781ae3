"""What a text may read as: the words of a prompt, also where they are disguised.

A filter that compares letters is beaten by anybody who writes n4k3d, n a k e d, a Cyrillic а, or a
zero-width space. So every word is given all the spellings that a reader would see in it (Unicode
Standard Annex 15, normalisation; Technical Standard 39, confusables).
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f\u0951-\u0963"
MARKS += "\u0981-\u0983\u09bc-\u09cd\u09d7\u0b82\u0bbe-\u0bcd"
GLYPHS = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0002ffff"
GLYPH = re.compile(f"[{GLYPHS}]")
WORD = re.compile(f"[{GLYPHS}]|(?:(?![{GLYPHS}])(?:[^\\W_]|[{MARKS}]))+")  # no spaces: by glyph
READABLE = "LATIN|CYRILLIC|GREEK|CJK|HIRAGANA|KATAKANA|HANGUL|ARABIC|DEVANAG|THAI|HEB|BENGALI|TAMIL"
LEET = str.maketrans("4@301!|57$8", "aaeoiiistsb")
LEET_L = str.maketrans("4@301!|57$8", "aaeollltssb")
CODED = re.compile(r"[a-z][\d@$!|*#€+]|[\d@$!|*#€+][a-z]")
TWINS = str.maketrans("авеёкмнорстухіјѕԁһαβεηικνορτυχ", "abeekmhopctyxijsdhabenikvoptux")
PLAIN = {"đ": "d", "ł": "l", "ø": "o", "ß": "ss", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"}
PLAIN |= {"ى": "ي", "ة": "ه", "ـ": "", "ё": "е", "ی": "ي", "ک": "ك", "ہ": "ه"}
PLAIN = str.maketrans(PLAIN | {"\u200c": ""})  # and the joiner of Persian
ACCENTS = (chr(code) for code in (*range(0x300, 0x3100), *range(0xFE20, 0xFE30)))
ACCENTS = re.compile(f"[{''.join(c for c in ACCENTS if unicodedata.combining(c) > 9)}]")
FANCY = re.compile(  # small capitals, flags' letters, letters in black boxes, ʇnɹuǝp ones
    r"(?:LATIN LETTER SMALL CAPITAL|REGIONAL INDICATOR SYMBOL LETTER|LATIN SMALL LETTER|"
    r"NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL LETTER) (?:TURNED |SCRIPT )?([A-Z])(?: WITH .*)?"
)
LONGEST = 14  # letters of a word that is looked for among spaced letters
BLANKS = "\u115f\u1160\u2800\u3164\uffa0"  # letters that show nothing


class Text(NamedTuple):
    """A prompt's words, folded, and beside them what else they may be."""

    words: list[str]  # without accents and capitals
    typed: list[str]  # with their accents
    places: list[float]  # distance from the start in words; a glyph counts as half a word
    also: dict[int, list[tuple[str, int, bool]]]  # from word i: another reading, words, coded?
    begins: set[int]  # the words that begin a sentence


@lru_cache(4096)
def _letter(char: str) -> str:
    """Return what a character shows: itself, a plain letter, a space or nothing."""
    kind = unicodedata.category(char)
    if kind == "Cc":
        return " " if char.isspace() else ""
    if kind in ("Cf", "Cs", "Co") or "\ufe00" <= char <= "\ufe0f" or char in BLANKS:
        return ""
    name = FANCY.fullmatch(unicodedata.name(char, ""))
    return name[1].lower() if name and not unicodedata.normalize("NFD", char)[1:] else char


def clean(text: str) -> str:
    """Return a text in lower case and composed form, without what does not show."""
    if text.isascii() and text.isprintable():
        return text.lower()
    shown = unicodedata.normalize("NFKC", text).lower()
    shown = "".join(c if " " <= c <= "~" else _letter(c) for c in shown)
    return unicodedata.normalize("NFC", shown)


@lru_cache(50_000)
def fold(word: str) -> str:
    """Return a clean word without its accents."""
    if word.isascii():
        return word
    apart = unicodedata.normalize("NFKD", word)
    return unicodedata.normalize("NFC", ACCENTS.sub("", apart).translate(PLAIN))


def readable(char: str) -> bool:
    """Say whether a letter is of a writing system that the lists cover."""
    return bool(re.match(READABLE, unicodedata.name(char, "")))


def split(text: str) -> list[str]:
    """Return the words of a clean text, each glyph of a script without spaces a word."""
    return [word for word in WORD.findall(text) if fold(word)]


def read(text: str, part: Callable[[str], list[str]], listed: Callable[[str], bool]) -> Text:
    """Return a prompt's words with everything that they may read as.

    Args:
        text: the prompt, in any language, of any length.
        part: splits what was written as one word: taylorswift.
        listed: says whether a word may be one that is looked for.
    """
    shown = clean(text)
    quoted = re.findall(r"[\"“”«»'‘’`]([^\"“”«»'‘’`\s]{1,12})[\"“”«»'‘’`]", shown)
    if len(quoted) > 1:  # "na" and "ked"
        shown += " . " + "".join(quoted)
    if "\u202e" in text:  # shown from right to left
        shown += " . " + shown[::-1]
    typed, also, begins = [], defaultdict(list), set()
    for chunk in shown.split():
        start = len(typed)
        for word in split(chunk):
            typed += part(word)
        count = len(typed) - start
        if count and (count > 1 or not chunk.isalpha()) and len(chunk) < 50:
            also[start] += _joined(chunk, count)
        if chunk[-1] in ".!?" and count and len(typed[-1]) > 1:
            begins.add(len(typed))
    words = [fold(word) for word in typed]
    for i, word in enumerate(words):
        if not word.isascii() and (twin := word.translate(TWINS)).isascii():
            also[i].append((twin, 1, False))
    _spaced(words, also, listed)
    places = [0.0, *accumulate(0.5 if GLYPH.match(word) else 1.0 for word in words)]
    return Text(words, typed, places, also, begins)


def _joined(chunk: str, count: int) -> list[tuple[str, int, bool]]:
    """Return what a chunk without spaces reads as if its digits and signs are letters."""
    chunk = fold(chunk).strip(".,;:?\"'()[]{}“”«»…").rstrip("!")
    coded = bool(CODED.search(chunk))
    tables = (LEET, LEET_L) if coded else ({},)
    readings = {re.sub(r"[\W_]", "", chunk.translate(table)) for table in tables}
    if coded:
        readings.add(re.sub(r"[\W\d_]", "", chunk))  # signs that hide a letter: n*ked
    return [(reading, count, coded) for reading in readings if len(reading) > 2]


def _spaced(words: list[str], also: dict[int, list], listed: Callable[[str], bool]) -> None:
    """Add the words that may stand in runs of single letters, n a k e d."""
    shape = "".join("x" if len(word) == 1 and word < "\u0e00" else " " for word in words)
    for run in re.finditer("x{3,}", shape):
        letters = "".join(words[run.start() : run.end()]).translate(LEET)
        for i in range(len(letters)):
            most = min(i + LONGEST, len(letters))
            found = [letters[i:j] for j in range(i + 3, most) if listed(letters[i:j])]
            found = [(word, len(word), False) for word in (*found, letters[i:most])]
            also[run.start() + i] += found
