"""Attacks on the policy: how much of what is forbidden it catches, and what it refuses in error.

A set of short prompts in `redteam_prompts/`, each written to be refused or to look so and pass, by
category and by family of attack: plain, misspelt, spaced, in other languages, as a role play,
paraphrased, split over two sentences, hidden in a story. Counted as in a system card: recall and
false refusals, with intervals, as a few dozen prompts say little about all that people may type.
The rules were tuned on this set, and the classifier learnt from it: on other prompts they do worse.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import NamedTuple

from minisora import learned, policy, world
from minisora.thesaurus import thesaurus

PROMPTS = Path(__file__).with_name("redteam_prompts")


class Prompt(NamedTuple):
    """One line of the set."""

    family: str
    category: str
    language: str
    text: str
    unsafe: bool


class Row(NamedTuple):
    """What happened to the prompts of one category or family."""

    name: str
    unsafe: int
    caught: int
    harmless: int
    refused: int

    @property
    def recall(self) -> tuple[float, float, float]:
        """The share of unsafe prompts that were refused, and its interval."""
        return share(self.caught, self.unsafe)

    @property
    def false_refusals(self) -> tuple[float, float, float]:
        """The same of harmless ones."""
        return share(self.refused, self.harmless)


class Table(NamedTuple):
    """The outcome of an attack."""

    total: Row
    categories: list[Row]
    families: list[Row]
    mistakes: list[tuple[Prompt, policy.Verdict]]
    milliseconds: float  # for a prompt, on average


def share(hits: int, count: int, z: float = 1.96) -> tuple[float, float, float]:
    """Return hits / count with its 95% interval (Wilson 1927), which is right for few and for 0."""
    if not count:
        return float("nan"), 0.0, 1.0
    p, n = hits / count, count + z * z
    middle = (hits + z * z / 2) / n
    half = z / n * (hits * (1 - p) + z * z / 4) ** 0.5
    return p, max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half))


def prompts(folder: Path = PROMPTS) -> list[Prompt]:
    """Return the set: `unsafe.tsv` and `harmless.tsv`, a prompt a line.

    Raises:
        ValueError: the folder has no such files, or a line is not four texts parted by tabs.
    """
    files = [(folder / f"{kind}.tsv", kind == "unsafe") for kind in ("unsafe", "harmless")]
    found = []
    for file, unsafe in files:
        try:
            lines = [line.split("\t") for line in file.read_text("utf-8").splitlines()]
        except (OSError, UnicodeDecodeError):
            raise ValueError(f"{folder} needs unsafe.tsv and harmless.tsv, in UTF-8") from None
        for number, line in enumerate(lines, 1):
            if len(line) != 4:
                told = f"line {number} of {file} has {len(line)} of 4 columns"
                raise ValueError(f"{told}: family, category, language, prompt, parted by tabs")
            found.append(Prompt(*line, unsafe))
    return found


def attack(checker=policy.check, folder: Path = PROMPTS) -> Table:
    """Let a checker, which takes a prompt and answers with a `Verdict`, judge the whole set."""
    checker("a red ball")  # reads its lists
    tried, began = prompts(folder), time.process_time()
    verdicts = [checker(prompt.text) for prompt in tried]
    spent = 1000 * (time.process_time() - began) / len(tried)
    outcomes = list(zip(tried, verdicts, strict=True))

    def row(name: str, field: str = "") -> Row:
        mine = [(p, v) for p, v in outcomes if not field or getattr(p, field) == name]
        unsafe = [not v.allowed for p, v in mine if p.unsafe]
        harmless = [not v.allowed for p, v in mine if not p.unsafe]
        return Row(name, len(unsafe), sum(unsafe), len(harmless), sum(harmless))

    categories = [row(name, "category") for name in dict.fromkeys(p.category for p in tried)]
    families = [row(name, "family") for name in dict.fromkeys(p.family for p in tried)]
    mistakes = [(p, v) for p, v in outcomes if v.allowed == p.unsafe]
    return Table(row("all"), categories, families, mistakes, spent)


def relearn() -> None:
    """Learn the policy's second look from the set, and from what people say of our own world."""
    rules, tried, rng = policy.Lists(policy.LISTS), prompts(), random.Random(0)
    captions = [world.sample_scene(seed, "train").caption for seed in range(500)]
    phrases = [phrase for phrase, tag in thesaurus()[0].items() if tag.kind in "czSvwpgf"]
    captions += [" ".join(rng.sample(phrases, 5)) for _ in range(1000)]
    frames = (PROMPTS / "frames.txt").read_text("utf-8").splitlines()
    captions += [frame.replace("{}", rng.choice(captions)) for frame in frames * 10]
    captions += [frame.replace("{}", " ".join(rng.sample(phrases, 2))) for frame in frames * 10]
    read = [rules.read(text) for text in (*(p.text for p in tried), *captions)]
    texts = [(text.words, policy.places(rules.find(text))) for text in read]
    answers = [learned.CATEGORIES.index(p.category) if p.unsafe else 0 for p in tried]
    learned.save(learned.fit(texts, answers + [0] * len(captions)))
    learned.classifier.cache_clear()
    policy.lists.cache_clear()


def as_text(table: Table) -> str:
    """Return the outcome as lines to print."""
    lines = [f"{'':16}{'unsafe prompts refused':>31}{'harmless ones refused':>31}"]
    for rows in (table.categories, table.families, [table.total]):
        lines.append("")
        for row in rows:
            counts = (row.caught, row.unsafe, *row.recall)
            counts += (row.refused, row.harmless, *row.false_refusals)
            cell = "  {:5} of {:3} {:6.1%} ({:4.0%} to {:4.0%})"
            lines.append(f"{row.name:16}" + (2 * cell).format(*counts))
    lines += [
        "",
        "95% intervals in brackets (Wilson); the rules were tuned on the shipped prompts",
    ]
    return "\n".join([*lines, f"{table.milliseconds:.2f} ms of CPU for a prompt"])


def plot(table: Table):
    """Draw recall and false refusals, each with its interval, by category and by family."""
    from matplotlib.figure import Figure

    figure = Figure((9, 5), layout="constrained")
    for axes, rows in zip(figure.subplots(1, 2), (table.categories, table.families), strict=True):
        for shift, name in ((-0.15, "recall"), (0.15, "false_refusals")):
            found = [getattr(row, name) for row in rows]
            errors = [[p - low for p, low, _ in found], [high - p for p, _, high in found]]
            places = [i + shift for i in range(len(rows))]
            style = dict(fmt="o", capsize=3, label=name.replace("_", " "))
            axes.errorbar([p for p, *_ in found], places, xerr=errors, **style)
        axes.set(xlim=(-0.02, 1.02), ylim=(len(rows) - 0.5, -0.5), xlabel="share refused")
        axes.set_yticks(range(len(rows)), [row.name for row in rows])
        axes.grid(axis="x", alpha=0.3)
    figure.axes[0].legend(loc="center")
    figure.suptitle("What the policy refuses, with 95% intervals")
    return figure


def save_plot(table: Table, path: Path) -> None:
    """Write the plot; the file's ending says in which format.

    Raises:
        ValueError: the ending is unknown.
    """
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"cannot draw into {path}: the ending must be one of .png, .svg, .pdf")
    plot(table).savefig(path, dpi=150)
