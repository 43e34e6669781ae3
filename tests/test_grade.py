"""Grading: solutions are right, stubs are not attempted, the rest is told."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from test_notebooks import HERE, PATHS, read, solutions

sys.path.insert(0, str(HERE))
import grade  # noqa: E402

FIRST = next(path for path in PATHS if path.stem.startswith("01"))


def handed_in(folder: Path, path: Path, **answers) -> Path:
    """Write a student's copy with these exercise cells replaced."""
    notebook = read(path)
    for cell in notebook.cells:
        name = grade.EXERCISE.match(cell.source)
        if name and name[1] in answers:
            cell.source = f"# exercise: {name[1]}\n{answers[name[1]]}"
    copy = folder / f"student_{path.name}"
    nbformat.write(notebook, copy)
    return copy


@pytest.mark.parametrize("path", [p for p in PATHS if p.stem[:2] != "00"], ids=lambda p: p.stem)
def test_solutions_are_right(path, tmp_path):
    results = grade.grade(handed_in(tmp_path, path, **solutions(read(path))))
    assert len(results) >= 3
    assert {found for found, _ in results.values()} == {"right"}, results


def test_each_kind_of_answer_is_told(tmp_path):
    right, wrong, *_ = answers = solutions(read(FIRST))
    assert len(answers) >= 3
    broken = {right: answers[right], wrong: f"def {wrong}(*anything):\n    return 1 / 0"}
    results = grade.grade(handed_in(tmp_path, FIRST, **broken))
    kinds = [found for found, _ in results.values()]
    assert results[right][0] == "right" and results[wrong][0] == "wrong"
    assert "ZeroDivisionError" in results[wrong][1]
    assert set(kinds[2:]) == {"not attempted"}


def test_what_never_ends_is_stopped(tmp_path):
    name = next(iter(solutions(read(FIRST))))
    slow = {name: f"def {name}(*anything):\n    while True:\n        pass"}
    copy = handed_in(tmp_path, FIRST, **slow)
    imports, cells = grade.exercises(copy)
    found, said = grade.run([*imports, cells[name], f"check.{name}({name});"], timeout=10)
    assert found == "wrong" and "10 seconds" in said


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [("essay.ipynb", "{}", "belongs to no notebook"), ("01_mine.ipynb", "hello", "not a notebook")],
)
def test_other_files_are_told_in_a_line(name, text, told, tmp_path):
    (tmp_path / name).write_text(text)
    command = [sys.executable, HERE / "grade.py", tmp_path / name]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1 and told in result.stdout
    assert "Traceback" not in result.stderr
