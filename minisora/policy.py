"""Checks a prompt before anything is made: what a video model's policy forbids is refused.

Categories as in OpenAI's usage policies and Sora system card (December 2024): public figures,
sexual, violence, hateful, self-harm, deceptive, dangerous. How OpenAI's classifiers work is not
public; these lists and rules are our choice: pages that everybody can read, argue with and correct
(`policy_words/README.md`), no network, a few milliseconds. A small linear classifier that learnt
from the red-team set looks at words and concepts once more.

    text → words and what they may read as (`disguise.py`) → concepts → minus idioms → rules
         → classifier (`learned.py`), which may also overrule a rule

It fails closed: what cannot be checked is refused. It reads words, not meanings: a determined
author gets past it (`minisora redteam` counts how often); the credentials and the mark are the
next layers.
"""

from __future__ import annotations

import codecs
from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from minisora.disguise import Text, clean, fold, read, readable
from minisora.learned import DOUBT, LIMIT, NEAR, WIDE, Classifier, classifier
from minisora.phrases import BEGINS, NEVER, Speller, follow, keys, possible
from minisora.rules import Hit, Rule

LISTS = Path(__file__).with_name("policy_words")
DATED = "2026-11"  # when the lists were compiled
LONGEST = 200_000  # characters that are checked
CERTAIN = ("public figure",)  # what the classifier cannot overrule: names are names
CHECKS = ("normalise", "languages", "words", "names", "slips", "idioms", "rules", "learned")


@dataclass(frozen=True)
class Verdict:
    """The answer to a prompt."""

    allowed: bool
    category: str | None = None
    rule: str | None = None
    words: tuple[str, ...] = ()  # those that triggered the rule
    checks: tuple[str, ...] = ()  # those that ran

    def __str__(self) -> str:
        if self.allowed:
            return "allowed"
        told = f": {', '.join(map(repr, self.words))[:80]}" if self.words else ""
        return f"refused as {self.category} ({self.rule}{told})"

    def record(self) -> dict:
        """Return what a video's provenance says of it."""
        told = {name: value for name, value in asdict(self).items() if value not in (None, ())}
        return {**told, "lists": DATED}


class Refused(ValueError):
    """A prompt was refused; `verdict` says why."""

    def __init__(self, verdict: Verdict):
        where = "minisora/policy_words/README.md says what is refused"
        super().__init__(f"the prompt is {verdict}; describe another scene ({where})")
        self.verdict = verdict


def check(prompt: str) -> Verdict:
    """Say whether a prompt may be made into a video.

    Args:
        prompt: any language, any length up to 200,000 characters.

    Returns:
        A `Verdict`; anything that keeps the check from its work is a refusal.

    Raises:
        ValueError: the prompt is not a text.
    """
    if not isinstance(prompt, str):
        raise ValueError(f"a prompt is a text, not {type(prompt).__name__}")
    if len(prompt) > LONGEST:
        told = f"{len(prompt):,} characters, more than the {LONGEST:,} that can be checked"
        return Verdict(False, "unchecked", told)
    try:
        return lists().judge(prompt)
    except Exception as error:  # whatever it is: fail closed
        return Verdict(False, "unchecked", f"the check failed with {type(error).__name__}")


def require(*prompts: str) -> list[Verdict]:
    """Check prompts before anything heavy is done with them.

    Raises:
        Refused: (a ValueError) one of them is not allowed.
    """
    verdicts = [check(prompt) for prompt in prompts]
    for verdict in verdicts:
        if not verdict.allowed:
            raise Refused(verdict)
    return verdicts


@lru_cache(1)
def lists() -> Lists:
    """Return the lists and the classifier behind them, read once."""
    return Lists(LISTS, classifier())


class Lists:
    """The word lists and rules of a folder, and maybe a classifier, ready to judge prompts."""

    def __init__(self, folder: Path, second: Classifier | None = None):
        self.second = second
        self.index = defaultdict(list)  # entries by words that they need
        self.derived = defaultdict(list)  # those that name another concept
        self.rules = [Rule.parse(line) for line in _lines(folder / "rules.txt")]
        self.speller = Speller(set(" ".join(_lines(folder / "ordinary.txt")).split()))
        files = {path.stem: path for path in sorted(folder.rglob("*.txt"))}
        self.excuses = {name for rule in self.rules for name in (*rule.unless, *rule.objects)}
        needed = self.excuses.union(*(rule.concepts for rule in self.rules))
        if missing := needed - files.keys():
            raise FileNotFoundError(f"no list for {', '.join(sorted(missing))} in {folder.name}")
        for concept, path in files.items():
            if concept not in ("rules", "ordinary"):
                self._read(concept, path)

    def _read(self, concept: str, path: Path) -> None:
        """Read the list of a concept: a line for each language, or for each person."""
        text = path.read_text("utf-8")
        rot13, lines = text.startswith("# rot13"), _lines(path)
        if path.parent.name == "names":
            lines = [":" + ",".join(lines).replace("|", ",")]
        for line in lines:
            language, entries = (part.strip() for part in line.split(":", 1))
            entries = codecs.encode(entries, "rot13") if rot13 else entries
            entries = entries.lower().replace("'", "")
            plain = fold(entries)
            self.speller.add(plain, language in ("", "en") and concept != "safe")
            for entry, needed in zip(entries.split(","), plain.split(","), strict=True):
                index = self.derived if "<" in entry else self.index
                for key in keys(needed):
                    index[key].append((concept, language, entry))

    def judge(self, prompt: str) -> Verdict:
        """Return the verdict on a text."""
        letters = [] if prompt.isascii() else [c for c in clean(prompt[:2000]) if c.isalpha()]
        foreign = sum(not c.isascii() and not readable(c) for c in letters)
        if foreign * 2 > len(letters):
            told = "a writing system that the lists do not cover"
            return Verdict(False, "unchecked", told, checks=CHECKS[:2])
        text = self.read(prompt)
        hits = self.find(text)
        refused = self.by_rule(text, hits)
        if not self.second or (refused and refused.category in CERTAIN):
            return refused or Verdict(True, checks=CHECKS[:-1])
        window, limit = (NEAR, DOUBT) if refused else (WIDE, LIMIT)
        chance, category, words = self.second.judge(text.words, places(hits), window)
        if chance > limit:
            told = Verdict(False, category, "reads like what is refused", tuple(words), CHECKS)
            return refused or told
        return Verdict(True, checks=CHECKS)

    def by_rule(self, text: Text, hits: dict[str, list[Hit]]) -> Verdict | None:
        """Return the refusal by the first rule that a text breaks, if any."""
        for rule in self.rules:
            if found := rule.broken(hits, text):
                ends = sorted({(hit.start, hit.end) for hit in found})
                words = tuple(" ".join(text.typed[i:j]) for i, j in ends)
                return Verdict(False, rule.category, rule.name, words, CHECKS)
        return None

    def read(self, prompt: str) -> Text:
        """Return a prompt's words and what they may read as."""
        return read(prompt, self.speller.part, self.speller.listed)

    def find(self, text: Text) -> dict[str, list[Hit]]:
        """Return the concepts of a text, without those that belong to a harmless phrase."""
        known = [*map(self.speller.english, text.words)]
        share = sum(known) / max(1, len(known))
        spelled = [self.spellings(text, i, share > 1 / 3) for i in range(len(known))]
        there = {*text.words, *map("".join, pairwise(text.words))}
        hits = match(spelled, there, self.index)
        for hit in hits:
            here, name = spelled[hit.start], f"<{hit.concept}>"
            here[name] = max(here.get(name, 0), hit.end - hit.start)
        hits += match(spelled, there, self.derived)
        covered = {i: hit for hit in hits if hit.concept == "safe" for i in hit.touched}
        found = defaultdict(list)
        for hit in hits:
            if hit.language not in ("", "en") and share > 2 / 3 and hit.concept not in self.excuses:
                if all(known[i] for i in hit.touched):  # golden retriever puppy is no Polish
                    continue
            idiom = covered.get(hit.start) if hit.concept not in self.excuses else None
            if not idiom or (len(hit.touched) == hit.end - hit.start and hit.end > idiom.end):
                found[hit.concept].append(hit)
        return found

    def spellings(self, text: Text, i: int, english: bool) -> dict[str, int]:
        """Return the listed spellings that a text may have at word i, with their width in words."""
        word, typed, also = text.words[i], text.typed[i], text.also[i]
        lookup, known, here = self.speller.lookup, self.speller.known, {"=" + text.typed[i]: 1}
        if i in text.begins:
            here[BEGINS] = 1
        if typed == word or len(word) > 4 or not word.isascii():  # göre is not gore
            here |= dict.fromkeys(lookup(word, 4 if english else NEVER), 1)
        pair = text.words[i : i + 2]
        if english and len(pair) == 2 and self.speller.listed(joined := "".join(pair)):
            if any(not known(w) for w in pair) and all(len(w) > 2 or not known(w) for w in pair):
                also = [*also, (joined, 2, False)]  # na ked
        if not also:
            return here
        rest, width, _ = max(also, key=lambda found: found[1], default=("", 0, False))
        whole = width if known(rest) else 0
        for reading, width, coded in also:
            if not 2 < width < whole:  # t r u m p e t
                for spelling in ("=" + reading, *lookup(reading, 4 if coded else NEVER)):
                    rest = len(reading) - len(spelling)  # bomba yapan is not Bombay
                    if coded or known(reading) or rest < 3 and spelling not in here:
                        here[spelling] = width
        return here


def match(spelled: list[dict[str, int]], words: set[str], index: dict[str, list]) -> list[Hit]:
    """Return the hits of the entries of an index that need one of a text's words or spellings."""
    hits, where = set(), defaultdict(list)
    for start, here in enumerate(spelled):
        for spelling in here:
            where[spelling].append(start)
    there = {*where}
    entries = {entry for key in index.keys() & (there | words) for entry in index[key]}
    for concept, language, parts in possible(entries, there):
        for start in {start for spelling in parts[0] for start in where[spelling]}:
            if end := follow(spelled, parts, start):
                hits.add(Hit(concept, language, start, *end))
    return sorted(hits, key=lambda hit: (hit.start, -hit.end, hit.concept, hit.language))


def places(hits: dict[str, list[Hit]]) -> dict[str, int]:
    """Return the concepts of a text, each with the word at which it is first met."""
    return {concept: min(hit.start for hit in found) for concept, found in hits.items() if found}


def _lines(path: Path) -> list[str]:
    """Return the lines of a list without its remarks."""
    lines = [line.split("#")[0].strip() for line in path.read_text("utf-8").splitlines()]
    return [line for line in lines if line]
