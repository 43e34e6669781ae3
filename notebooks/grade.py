"""Run the exercises of handed-in notebooks and say which are right.

    python notebooks/grade.py handed_in/*.ipynb
    python notebooks/grade.py handed_in/*.ipynb --csv grades.csv

Only three kinds of cells are run, in a fresh kernel in this folder: the imports, the exercises and
their checks (as this folder has them, whatever the student did to the check). No training is
repeated, so a notebook takes seconds. The students' code runs with your rights: read it first, or
grade in a container.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError

HERE = Path(__file__).parent
EXERCISE = re.compile(r"# exercise: (\w+)")
MARKS = {"✓": "right", "✗": "wrong", "…": "not attempted"}


def exercises(path: Path) -> tuple[list[str], dict[str, str]]:
    """Return a notebook's import cells and its exercise cells by name.

    Raises:
        ValueError: it is no notebook.
    """
    try:
        cells = nbformat.read(path, as_version=4).cells
    except Exception as error:
        raise ValueError(f"{path} is not a notebook ({type(error).__name__})") from None
    sources = [cell.source for cell in cells if cell.cell_type == "code"]
    found = {m[1]: text for text in sources if (m := EXERCISE.match(text))}
    return sources[:1], found


def ours(path: Path) -> Path:
    """Return the notebook of this folder that a file is a copy of, by its number.

    Raises:
        ValueError: there is none.
    """
    number = re.search(r"(?<!\d)\d\d(?=_)", path.name)
    known = sorted(HERE.glob(f"{number[0]}_*.ipynb")) if number else []
    if not known:
        told = "its name should hold the notebook's, such as smith_03_spacetime_patches.ipynb"
        raise ValueError(f"{path.name} belongs to no notebook here; {told}")
    return known[0]


def grade(path: Path, timeout: int = 120) -> dict[str, tuple[str, str]]:
    """Return for each exercise what its check found ("right", "wrong" …) and said.

    Args:
        path: a student's notebook.
        timeout: seconds for each exercise.

    Raises:
        ValueError: it is no notebook, or none of these.
    """
    (imports, wanted), (_, answers) = exercises(ours(path)), exercises(path)
    results = {}
    for name in wanted:
        if name not in answers:
            results[name] = "missing", "the cell that begins with '# exercise: …' is gone"
            continue
        cells = [*imports, answers[name], f"check.{name}({name});"]
        results[name] = run(cells, timeout)
    return results


def run(sources: list[str], timeout: int) -> tuple[str, str]:
    """Run cells in a fresh kernel and return what the last one, a check, found and said."""
    notebook = nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, sources)])
    about = dict(kernel_name="python3", resources={"metadata": {"path": HERE}})
    client = NotebookClient(notebook, timeout=timeout, allow_errors=True, **about)
    try:
        client.execute()
    except CellTimeoutError:
        return "wrong", f"it took more than {timeout} seconds"
    except DeadKernelError:
        return "wrong", "it ended the kernel"
    said = "".join(o.get("text", "") for o in notebook.cells[-1].outputs).strip()
    mark = next((MARKS[line[0]] for line in said.splitlines() if line[0] in MARKS), None)
    if mark:
        return mark, said
    errors = [o for cell in notebook.cells for o in cell.outputs if o.output_type == "error"]
    told = f"{errors[0].ename}: {errors[0].evalue}" if errors else "the check said nothing"
    return "wrong", told


def main() -> None:
    """Grade what the command line names."""
    parser = argparse.ArgumentParser(description="grade the exercises of notebooks")
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write a table there")
    parser.add_argument("--timeout", type=int, default=120, help="seconds for an exercise (120)")
    args = parser.parse_args()
    os.environ["MINISORA_PRESET"] = "smoke"
    rows, failed = [], False
    for path in args.notebooks:
        try:
            results = grade(path, args.timeout)
        except ValueError as error:
            print(f"{path.name}: {error}")
            failed = True
            continue
        right = sum(found == "right" for found, _ in results.values())
        print(f"{path.name}: {right} of {len(results)}")
        for name, (found, said) in results.items():
            print(f"  {name}: {found}" + (f" ({said.lstrip('✗ ')})" if found == "wrong" else ""))
            rows.append([path.name, name, found, said])
    if args.csv:
        with args.csv.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["notebook", "exercise", "result", "said"], *rows])
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
