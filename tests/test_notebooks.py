"""The notebooks: they run, their solutions solve, and what is committed is clean."""

import base64
import io
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).parent.parent / "notebooks"
sys.path.insert(0, str(HERE))
import run  # noqa: E402

PATHS = sorted(HERE.glob("[0-9][0-9]_*.ipynb"))
SOLUTION = re.compile(r"<!-- solution: (\w+) -->\s*```python\n(.*?)```", re.S)
every = pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def exercises(notebook) -> dict[str, nbformat.NotebookNode]:
    """Return the stub cells by name: their first line is '# exercise: name'."""
    found = {}
    for cell in notebook.cells:
        name = re.match(r"# exercise: (\w+)", cell.source) if cell.cell_type == "code" else None
        if name:
            found[name[1]] = cell
    return found


def solutions(notebook) -> dict[str, str]:
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return dict(pair for text in texts for pair in SOLUTION.findall(text))


def printed(notebook) -> str:
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    return "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stdout")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINISORA_CACHE", str(tmp_path))
    monkeypatch.setenv("MINISORA_PRESET", "smoke")


@every
def test_it_runs_with_its_exercises_left_open(path, cache):
    notebook = read(path)
    run.execute(notebook, "smoke")
    assert printed(notebook).count("not attempted yet") == len(exercises(notebook))
    assert "✗" not in printed(notebook)


@every
def test_its_solutions_pass_its_checks(path, cache):
    notebook = read(path)
    stubs, answers = exercises(notebook), solutions(notebook)
    assert stubs.keys() == answers.keys()
    assert len(stubs) >= (0 if path.stem.startswith("00") else 3)
    if not stubs:
        return
    for name, cell in stubs.items():
        assert "NotImplementedError" in cell.source, f"{name} is no stub"
        cell.source = answers[name]
    run.execute(notebook, "smoke")
    assert printed(notebook).count("✓") == len(stubs), printed(notebook)


@every
def test_what_is_committed_is_whole_and_clean(path):
    text, notebook = path.read_text(encoding="utf-8"), read(path)
    assert path.stat().st_size <= 500_000
    assert run.VIEW not in text and "widgets" not in notebook.metadata
    assert not re.search(r"/home/|/root/|/work/|/tmp/|[A-Z]:\\\\Users", text)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1)), "run it from the top"
    links = re.findall(r"\]\(([\w.]+\.ipynb)\)", text)
    assert all((HERE / name).is_file() for name in links), "a link leads nowhere; run it again"
    stills = sum("image/png" in o.get("data", {}) for c in code for o in c.outputs)
    assert stills >= 2
    assert 30 <= len(notebook.cells) <= 65 or path.stem.startswith("00")


def test_pictures_shrink_and_look_the_same():
    ramp = np.linspace(0, 255, 128 * 128 * 3).reshape(128, 128, 3)
    ramp += np.random.default_rng(0).normal(0, 2, ramp.shape)
    buffer = io.BytesIO()
    Image.fromarray(ramp.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    small = base64.b64decode(run.slim(base64.b64encode(buffer.getvalue()).decode()))
    assert len(small) < 0.7 * len(buffer.getvalue())
    assert abs(np.asarray(Image.open(io.BytesIO(small)).convert("RGB")) - ramp).mean() < 4


def test_a_name_that_no_notebook_has_is_told():
    command = [sys.executable, HERE / "run.py", "99"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2 and "no notebook 99" in result.stderr


def test_checks_tell_right_from_wrong_from_untried(capsys):
    from checks import exercise

    @exercise("that is six")
    def six(function):
        assert function() == 6, "it should be 6"

    def untried():
        raise NotImplementedError

    assert six(lambda: 6) is True
    assert six(lambda: 7) is False
    assert six(lambda: 1 / 0) is False
    assert six(untried) is None
    shown = capsys.readouterr().out
    assert all(w in shown for w in ("that is six", "should be 6", "ZeroDivisionError", "not att"))
