"""The checks of notebook 10: right answers pass, typical mistakes are named."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "notebooks"))
from checks import language as check  # noqa: E402


def greedy(table, stop=True):
    words, p, word = [], 1.0, ""
    while word != ".":
        row = table[word]
        word = max(row, key=row.get)
        p *= row[word] if stop or word != "." else 1
        words.append(word)
    return words[:-1], p


def likeliest(table):
    def best(word):
        if word == ".":
            return [], 1.0
        ends = []
        for then, p in table[word].items():
            words, rest = best(then)
            ends.append(([then, *words], p * rest))
        return max(ends, key=lambda end: end[1])

    words, p = best("")
    return words[:-1], p


def translate(prompt, thesaurus, lengths=(4, 3, 2, 1), lower=True):
    words, found, at = (prompt.lower() if lower else prompt).split(), [], 0
    while at < len(words):
        for length in lengths:
            phrase = " ".join(words[at : at + length])
            if phrase in thesaurus:
                found.append(thesaurus[phrase])
                break
        else:
            length = 1
        at += length
    return found


def test_right_answers(capsys):
    assert check.greedy(greedy) and check.likeliest(likeliest) and check.translate(translate)
    assert capsys.readouterr().out.count("✓") == 3


@pytest.mark.parametrize(
    ("check_", "attempt", "told"),
    [
        (check.greedy, lambda table: None, "is there a `return`"),
        (check.greedy, lambda table: greedy(table)[0], "two things"),
        (check.greedy, lambda table: ([*greedy(table)[0], "."], 0.42), "leave the full stop"),
        (check.greedy, lambda table: greedy(table, stop=False), "full stop has a probability"),
        (check.greedy, lambda table: (["snow"], 1.3), "do not add"),
        (check.likeliest, greedy, "none of its sentences"),
        (check.likeliest, lambda table: (["snow"], 0.28), "longer can be likelier"),
        (check.translate, lambda p, t: translate(p, t, lower=False), "capitals"),
        (check.translate, lambda p, t: translate(p, t, (1, 2, 3, 4)), "longest"),
        (check.translate, lambda p, t: translate(p, t, (1,)), "several words"),
        (check.translate, lambda p, t: " ".join(translate(p, t)), "a list of meanings"),
    ],
)
def test_mistakes_are_named(check_, attempt, told, capsys):
    assert check_(attempt) is False
    assert told in capsys.readouterr().out
