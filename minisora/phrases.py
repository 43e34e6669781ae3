"""The entries of the policy's lists: how they are written, spelled, misspelt, and found.

A slip of the finger is forgiven (edit distance: Damerau 1964), and so is a word written as it
sounds. What a misspelt word may stand for is looked up, as in SymSpell (Garbe 2012), by what a slip
leaves as it was: here its consonants, or half of it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from difflib import SequenceMatcher
from functools import cached_property, lru_cache
from itertools import chain, product

from minisora.disguise import GLYPHS, WORD, clean, fold, split

GAPS = {".": 3, "..": 6}  # words
BEGINS = "."  # stands among the spellings of a word that begins a sentence
MOST = 50  # letters of a word that are looked at
NEVER = 1000  # no word has so many letters
ARTICLES = re.compile(r"[وفبكل]?(?:ال|لل)|[وفبكلس]|[הובלמשכ]")  # written as one with the noun
SIMPLE = re.compile(r"[a-z0-9*|<>]+")
DOUBLE = re.compile(r"(.)\1+")
KEY = re.compile(rf"<\w+>|[{GLYPHS}]{{2}}|(?:{WORD.pattern})\*?")
ENDINGS = {"", *"s es d ed ing r er ers est ly y ness less ful".split()}
NO_VOWELS = str.maketrans("", "", "aeiouy")
SOUNDS = "tch>ch tur>chur ph>f v>f _wr>_r _kn>_n wh>w gh> ce>se ci>si cy>sy"
SOUNDS += " z>s ck>k c>k q>k x>ks e_>_"
SOUNDS += " e>a i>a o>a u>a y>a aa>a" + "".join(f" {c}{c}>{c}" for c in "abcdfghjklmnpqrstvwxz")
SOUNDS = [rule.split(">") for rule in SOUNDS.replace("_", "\n").split(" ")]
Parts = tuple[Set[str] | int, ...]  # the spellings of each word; a number is a gap


def possible(entries: Iterable[tuple], there: set[str]) -> Iterator[tuple[str, str, Parts]]:
    """Yield concept, language and parts of the entries whose words are all among some spellings."""
    said: dict[str, list[Parts]] = {}
    for concept, language, entry in entries:
        rows = []
        for chunk in entry.split():
            if chunk not in said:
                plain = chunk.isalpha() and chunk.isascii() and chunk not in there
                said[chunk] = [] if plain else [row for row in ways(chunk) if heard(row, there)]
            if not said[chunk]:
                break
            rows.append(said[chunk])
        else:
            for row in product(*rows):
                yield concept, language, tuple(chain(*row))


def heard(parts: Parts, there: set[str]) -> bool:
    """Say whether each of the words is among some spellings."""
    return not any(type(part) is not int and there.isdisjoint(part) for part in parts)


@lru_cache(None)
def ways(chunk: str) -> list[Parts]:
    """Return how one part of an entry, `cut|saw_off`, is said."""
    if chunk in GAPS:
        return [(GAPS[chunk],)]
    if SIMPLE.fullmatch(chunk):
        return [(frozenset(chunk.split("|")),)]
    choices = chunk.split("|")
    rows = [[s for word in choice.split("_") for s in _spelled(word)] for choice in choices]
    single = frozenset(row[0] for row in rows if len(row) == 1)
    several = [tuple(frozenset([spelling]) for spelling in row) for row in rows if len(row) > 1]
    return [(single,)] * bool(single) + several


def _spelled(word: str) -> list[str]:
    """Return an entry's word as text is read: several if it has no spaces between its glyphs.

    A word of less than five letters keeps its accents, marked with =: nua is not nữa.
    """
    if SIMPLE.fullmatch(word):
        return [word]
    words, exact = [], word[0] == "="
    for typed in split(clean(word)):
        plain = fold(typed)
        short = len(typed) < 5 and plain != typed and plain.isascii()
        words.append("=" + typed if exact or short else plain)
    return words[:-1] + [words[-1] + "*" * word.endswith("*")]


def keys(entry: str) -> list[str]:
    """Return the words of which a text must hold one for a folded entry to be in it.

    They are those of its longest part; where there are choices, of the one whose shortest is.
    """
    if "|" not in entry and "<" not in entry:
        return [_first(max(entry.split(), key=len))]
    rows = [chunk.split("|") for chunk in entry.split() if chunk not in GAPS]
    rows = [[max(choice.split("_"), key=len) for choice in row] for row in rows]
    telling = max(rows, key=lambda row: ("<" not in row[0], len(min(row, key=len)), -len(row)))
    return [*map(_first, telling)]


def _first(word: str) -> str:
    """Return the first word of a folded entry's word: one with a hyphen is two."""
    return word if word < "\u0900" and word.rstrip("*").isalnum() else KEY.search(word)[0]


def follow(spelled, parts, i: int) -> tuple[int, frozenset[int]] | None:
    """Return where a pattern that begins at word i ends, and the words that it touches."""
    touched: list[int] = []
    for k, part in enumerate(parts):
        if isinstance(part, int):
            for j in range(i, min(i + part, len(spelled) - 1) + 1):
                if j > i and BEGINS in spelled[j]:
                    break  # a gap reaches no further than its sentence
                if rest := follow(spelled, parts[k + 1 :], j):
                    return rest[0], rest[1].union(touched)
            return None
        here = spelled[i] if i < len(spelled) else {}
        if part.isdisjoint(here):
            return None
        width = max(here[spelling] for spelling in part.intersection(here))
        touched += range(i, i + width)
        i += width
    return i, frozenset(touched)


class Speller:
    """Knows the spellings of the lists, and which of them a word may stand for.

    Args:
        ordinary: words that are never taken for a slip of another, without their endings.
    """

    def __init__(self, ordinary: set[str]):
        self.ordinary = ordinary
        self.words: set[str] = set()  # of the lists; murder* is the beginning of one
        self.guessed: set[str] = set()  # those that are recognised with a slip in them
        self.known, self.lookup = (lru_cache(50_000)(f) for f in (self._known, self._lookup))

    def add(self, entries: str, guessed: bool) -> None:
        """Note the words of folded entries."""
        for sign in ",|_=<>.-&!":
            entries = entries.replace(sign, " ")
        words = entries.split()
        self.words.update(words)
        if guessed:
            self.guessed.update(words)

    @cached_property
    def stems(self) -> set[str]:
        """The beginnings of words."""
        stems = (word for word in self.words if word[-1] == "*")
        return {stem[:-1] if stem < "\u0900" else WORD.findall(stem)[-1] for stem in stems}

    @cached_property
    def slips(self) -> dict[str, list[str]]:
        """The guessed spellings by how they sound, and by what a slip may leave of them."""
        slips, guessed = defaultdict(list), [s for s in self.guessed if len(s.rstrip("*")) > 3]
        for spelling, heard in zip(guessed, sound("\n".join(guessed)).split("\n"), strict=True):
            plain, half = spelling.rstrip("*"), len(spelling.rstrip("*")) // 2
            if len(spelling) > 4:  # teams are no Tems
                slips[heard].append(spelling)
            slips[f"~{plain[0]}{plain.translate(NO_VOWELS)}"].append(spelling)
            if half > 2:
                slips[plain[:half] + "~"].append(spelling)
                slips[f"{plain[0]}~{plain[half:]}"].append(spelling)
        return slips

    def _known(self, word: str) -> bool:
        """Say whether a word is an ordinary one, perhaps with an ending."""
        bases = {word}
        for n in range(max(3, len(word) - 4), len(word)):
            base, ending = word[:n], word[n:]
            if ending in ENDINGS:
                bases.add(base)
                if ending[0] in "eiy":  # baked, tried, hopping
                    bases |= {base + "e", re.sub("i$", "y", base), re.sub(r"(.)\1$", r"\1", base)}
        return not bases.isdisjoint(self.ordinary)

    def english(self, word: str) -> bool:
        """Say whether a word is English, or a name."""
        return self.known(word) or len(word) > 3 and word in self.guessed

    def part(self, word: str) -> list[str]:
        """Split a word that is two listed ones of four letters or more."""
        if 7 < len(word) < MOST and not self.known(word) and self.lookup(word, NEVER) == (word,):
            for cut in range(4, len(word) - 3):
                if word not in self.words and {word[:cut], word[cut:]} <= self.words:
                    return [word[:cut], word[cut:]]
        return [word]

    @cached_property
    def heads(self) -> set[str]:
        """The first four letters of the words."""
        return {word[:4].rstrip("*") for word in self.words}

    def listed(self, word: str) -> bool:
        """Say whether a word, or its beginning, may be in the lists."""
        if word[:4] not in self.heads:
            return False
        beginnings = (word, word[:-1], word[:-2], word[:-3])
        return word in self.words or not self.stems.isdisjoint(beginnings)

    def _lookup(self, word: str, slips: int = 5) -> tuple[str, ...]:
        """Return the listed spellings that a word of `slips` letters or more may stand for."""
        word = word[:MOST]
        stems = self.stems.intersection([word[:n] for n in range(1, len(word) + 1)])
        found = [word, *(stem + "*" for stem in stems)]
        if word >= "\u0590" and (noun := ARTICLES.match(word)) and len(word) - noun.end() > 1:
            return (*found, *self._lookup(word[noun.end() :], NEVER))
        sure = [spelling for spelling in found if len(word) - len(spelling) < 3]
        if len(word) < slips or self.known(word) or not self.guessed.isdisjoint(sure):
            return tuple(found)
        if DOUBLE.search(word):  # naaaked is also nnaakkeedd
            for shorter in {DOUBLE.sub(r"\1", word), re.sub(r"(.)\1\1+", r"\1\1", word)} - {word}:
                sure += self._lookup(shorter, NEVER)
        found += [spelling for spelling in sure if spelling not in found]
        return tuple(found) if not self.guessed.isdisjoint(sure) else self._corrected(word, found)

    def _corrected(self, word: str, direct: list[str]) -> tuple[str, ...]:
        """Add listed spellings one slip away: a letter more, less, other, or two swapped."""
        found, heard, slips, bones = [], sound(word), self.slips, "~" + word[0]
        for n, letter in enumerate(word, 1):
            bones += "" if letter in "aeiouy" else letter
            if n < 4 or word[n:] not in ENDINGS:
                continue
            start, keys = word[:n], {bones, *_swapped(bones)}
            if n > 5:  # a shorter word keeps its consonants
                keys |= {start[: k // 2] + "~" for k in (n - 1, n + 1)}
                keys |= {f"{start[0]}~{start[-k:]}" for k in (n // 2, n // 2 + 1)}
            for spelling in {spelling for key in keys & slips.keys() for spelling in slips[key]}:
                target = spelling.rstrip("*")
                whole = spelling[-1] == "*" and len(target) > 5 or n == len(word)
                if whole and -2 < n - len(target) < 2 and _one_slip(start, target):
                    found.append(spelling)
        if not found and len(heard.replace("a", "")) > 2:  # consonants: museo is no Messi
            keys = [heard, *(heard[:n] + "*" for n in range(5, len(heard) + 1))]
            alike = (spelling for key in keys for spelling in slips.get(key, ()))
            found = [s for s in alike if SequenceMatcher(None, word, s).ratio() > 0.7]
        plain = [spelling for spelling in found if self.known(spelling)]  # rozes are roses
        return (*direct, *(plain or found))


def sound(words: str) -> str:
    """Return how words sound, a line each, roughly: the vowels are all one."""
    words = f"\n{words}\n"
    for letters, heard in SOUNDS:
        words = words.replace(letters, heard)
    return words.strip("\n")


def _swapped(word: str) -> set[str]:
    """Return a word with two neighbours swapped, in all ways."""
    return {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(2, len(word) - 1)}


def _one_slip(a: str, b: str) -> bool:
    """Say whether two words are one slip apart."""
    short, i = min(len(a), len(b)), 1
    while i < short and a[i] == b[i]:
        i += 1
    rest, other = a[i:], b[i:]
    if rest[:2] == other[1::-1] and rest[2:] == other[2:]:  # two swapped
        return True
    if short < 5:  # teams are no Tems
        return False
    if not (rest[1:] == other or rest == other[1:] or rest[1:] == other[1:]):
        return False
    if short < (8 if len(a) == len(b) else 6):  # brige is no bribe
        return a.translate(NO_VOWELS) == b.translate(NO_VOWELS)
    return True
