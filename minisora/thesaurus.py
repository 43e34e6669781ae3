"""The thesaurus: a prompt in free wording cut into phrases, each with what it can mean.

A phrase stands for all the values that it allows ("rolls": rolls towards, rolls away or a trail;
"left": slides left, a trail to the left or, of the camera, an orbit to the left). The phrases and
the grammar that they follow are in thesaurus.tsv.
"""

from __future__ import annotations

import re
import string
import unicodedata
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from minisora.world.scenes import PARTNERED, SHAPES

MOST_WORDS, LONGEST = 200, 5  # words of a prompt that are read; words of a phrase
PARTNER = frozenset(PARTNERED)


@dataclass(frozen=True)
class Tag:
    """A phrase and what it stands for."""

    kind: str  # a letter of thesaurus.tsv
    words: str = ""
    values: frozenset[str] = frozenset()  # of an object or a place
    camera: frozenset[str] = frozenset()  # of the camera
    near: bool = False  # they are only near to what the words say
    plural: bool = False
    at: int = 0  # which word of the prompt is its first

    @property
    def yields(self) -> bool:
        """Whether what is said later of the same may overrule it: "not bouncing", "there sits"."""
        posture = self.kind == "v" and self.values == {"still"} and not self.camera
        return posture or self.words.startswith("not ")

    @property
    def vague(self) -> bool:
        """Whether it is a noun for any shape: in "a donut shaped thing" it says nothing."""
        return self.kind == "S" and len(self.values) == len(SHAPES)


@cache
def thesaurus() -> tuple[dict[str, Tag], str, list[list[str]]]:
    """Return every phrase's tag, in all its inflections, the grammar, and what is reworded."""
    found, rules, meant = {}, [], []
    text = Path(__file__).with_name("thesaurus.tsv").read_text("utf-8")
    for kind, *sides, phrases in (row.split("\t") for row in text.splitlines() if row[0] != "#"):
        if kind == "=":
            rules.append("(?P<{}>{})".format(*sides))
            continue
        if kind == "<":
            meant.append(sides)
            continue
        mine, camera = (frozenset(side.strip("~").split("/")) - {""} for side in sides)
        tags = [Tag(kind, "", mine, camera, "~" in sides[0], many) for many in (False, True)]
        for phrase in phrases.split(", "):
            for n, form in enumerate(inflected(kind, phrase)):
                found.setdefault(form, tags[n > 0])
    return found, "|".join(rules), meant


def inflected(kind: str, phrase: str) -> list[str]:
    """Return a phrase's forms: a noun's plural; a verb's third person, participles and past."""
    if kind not in "Svf":
        return [phrase]
    head, _, rest = (phrase, "", "") if kind == "S" else phrase.partition(" ")
    many = re.sub("(?<=[^aeiou])y$", "i", head)
    many += "es" if re.search("(i|s|x|z|ch|sh|[^o]o)$", many) else "s"
    stem = re.sub("(?<=[^e])e$", "", head)
    twice = head + head[-1] if re.search("[^aeiou][aeiou][bdglmnprt]$", head) else stem
    verb = [many, *(s + end for s in (stem, twice) for end in ("ing", "ed"))]
    forms = [many] if kind == "S" else verb
    return [phrase, *(f"{form} {rest}".strip() for form in forms)]


@cache
def lexicon() -> dict[str, bool]:
    """Return the words of the thesaurus, and whether a misspelt word may stand for each."""
    phrases = thesaurus()[0]
    exact = {w for w, tag in phrases.items() if (tag.values or tag.camera) and not tag.near}
    words = {word for phrase in phrases for word in phrase.split()}
    return {word: word in exact and len(word) > 3 and word[-2:] != "ed" for word in words}


@cache
def respelt(word: str) -> str:
    """Return the known word that is a slip of a finger away, or the word itself (Norvig 2007)."""
    if word in lexicon() or len(word) < 4:
        return word
    cuts, letters = [(word[:i], word[i:]) for i in range(1, len(word) + 1)], string.ascii_lowercase
    slips = [a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1]  # "bleu" is blue
    slips += [a + c + b for a, b in cuts for c in letters] + [a + b[1:] for a, b in cuts]
    changed = [a + c + b[1:] for a, b in cuts for c in letters if len(word) > 5]  # not bell: ball
    return next((slip for slip in slips + changed if lexicon().get(slip)), word)


def tagged(prompt: str) -> list[Tag]:
    """Cut a prompt into phrases, the longest known ones first."""
    text = unicodedata.normalize("NFKC", prompt).lower().replace("’", "'")
    for pattern, plain in thesaurus()[2]:
        text = re.sub(pattern, plain, text)
    words, tags, i = re.findall(r"[^\W_]+|[^\w\s]", text)[:MOST_WORDS], [], 0
    known, phrases = [respelt(word) for word in words], thesaurus()[0]
    while i < len(words):
        lengths = (n for n in range(LONGEST, 0, -1) if " ".join(known[i : i + n]) in phrases)
        kind = "h" if re.search("[^f]ly$", words[i]) else "u" if words[i].isalnum() else "."
        n, kind = next(lengths, 1), "," if words[i] in ",:" else kind
        tag, said = phrases.get(" ".join(known[i : i + n]), Tag(kind)), " ".join(words[i : i + n])
        before = tags[-1].kind if tags else ""
        if before == "S" and not tags[-1].vague and (tag.vague or said == "shaped"):
            tags = [*tags[:-2], *(t for t in tags[-2:-1] if not t.vague), tags[-1]]
            i += n
            continue
        if tag.kind == before == "u":
            said = f"{tags.pop().words} {said}"
        if tag.kind == "v" and words[i].endswith("ing"):  # "a spinning cube", "a cube circling it"
            tag = replace(tag, kind="v" if tag.values <= PARTNER and before in "Sou" else "p")
        tags.append(replace(tag, words=said, at=i))
        i += n
    return [*tags, Tag(".")]
