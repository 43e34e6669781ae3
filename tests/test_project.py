"""The project's own files agree with each other and with the code, and are fit to share."""

import ast
import io
import re
import shlex
import subprocess
import tokenize
from pathlib import Path

import pytest
from packaging.requirements import Requirement

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MODULES = sorted((ROOT / "minisora").rglob("*.py"))


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def tracked():
    """Paths from the root: what git tracks; without git, all that is not hidden or built."""
    try:
        listing = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    except (OSError, subprocess.CalledProcessError):
        listing = ""
    paths = [Path(name) for name in listing.split("\0") if name]
    if not paths:
        skipped = re.compile(r"(^|/)(\.(?!ci/)|__pycache__/|build/|dist/|[^/]*\.egg-info/)")
        paths = [path.relative_to(ROOT) for path in ROOT.rglob("*")]
        paths = [path for path in paths if not skipped.search(path.as_posix())]
    return [path for path in paths if (ROOT / path).is_file()]


def fences(text):
    """The fenced blocks of a Markdown text, a backslash at a line's end joined to the next."""
    return re.findall(r"^```\w*\n(.*?)^```", text.replace("\\\n", " "), re.M | re.S)


# --- dependencies


def floors():
    extras = PYPROJECT["project"]["optional-dependencies"]
    lines = PYPROJECT["project"]["dependencies"] + extras["dev"]
    return {line.name: line.specifier for line in map(Requirement, lines)}


def test_conda_and_pip_ask_for_the_same():
    below = read("environment.yml").partition("dependencies:")[2]
    listed = re.findall(r"^ +- ((?!python=|pip\b|-e)\S+)", below, re.M)
    conda = {line.name: line.specifier for line in map(Requirement, listed)}
    conda["torch"] = conda.pop("pytorch")
    conda["playwright"] = conda.pop("playwright-python")
    assert conda == floors()


def test_every_dependency_has_a_tested_version_above_its_floor():
    lines = [line for line in read("constraints.txt").splitlines() if line and line[0] != "#"]
    pins = {line.name: str(line.specifier) for line in map(Requirement, lines)}
    assert pins.keys() == floors().keys()
    for name, floor in floors().items():
        assert pins[name].startswith("=="), f"{name}: a tested version is exact, not {pins[name]}"
        assert pins[name][2:] in floor, f"{name}{pins[name]} is outside {floor}"


def test_every_file_of_the_package_is_installed():
    listed = PYPROJECT["tool"]["setuptools"]
    for path in tracked():
        if path.parts[0] != "minisora":
            continue
        if path.suffix == ".py":
            assert ".".join(path.parent.parts) in listed["packages"], f"{path}: package not listed"
        else:
            patterns = [f"minisora/{pattern}" for pattern in listed["package-data"]["minisora"]]
            assert any(path.match(pattern) for pattern in patterns), f"{path}: data not listed"


# --- the words in the README and the Makefile


def test_the_readme_lists_the_files_that_exist():
    """One line a path, two spaces or more, what it is."""
    house = fences(read("README.md").split("\n## The house\n")[1])[0]
    rows = [re.fullmatch(r"(\S+) {2,}\S.*", line) for line in house.splitlines() if line]
    assert all(rows), f"not 'path  what it is' in each line of:\n{house}"
    listed = {row[1] for row in rows}
    for path in listed:
        assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file(), path

    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "minisora").glob("*.py")}
    assert modules <= listed, f"missing: {modules - listed}"
    top = {path.parts[0] for path in tracked() if not path.parts[0].startswith(".")}
    missing = top - {path.split("/")[0] for path in listed}
    assert not missing, f"missing: {missing}"


@pytest.mark.parametrize("name", ["README.md", "data/README.md", "Makefile"])
def test_commands_are_ones_that_minisora_takes(name, capsys):
    from minisora.cli import build_parser

    lines = read(name) if name == "Makefile" else "\n".join(fences(read(name)))
    commands = re.findall(r"^\s*(?:\$ )?(?:\S*[/\\])?minisora (.+)", lines, re.M)
    assert commands, f"no command found in {name}"
    for command in commands:
        try:
            build_parser().parse_args(shlex.split(command, comments=True))
        except SystemExit as stop:
            assert not stop.code, f"{name}: minisora {command}\n{capsys.readouterr().err}"


def test_the_readme_names_only_targets_that_the_makefile_has():
    text = read("README.md")
    code = "\n".join([*fences(text), *re.findall(r"`([^`\n]+)`", text)])
    named = re.findall(r"^(?:.*&& |\$ )?make ([a-z]+)", code, re.M)
    targets = re.findall(r"^([a-z]+):", read("Makefile"), re.M)
    assert named and set(named) <= set(targets), f"{set(named) - set(targets)} not in {targets}"


# --- small enough to read


def lines_of_code(source):
    """Lines that hold code: neither blank, nor comment, nor docstring."""
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE}
    layout |= {tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in layout:
            lines.update(range(token.start[0], token.end[0] + 1))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            lines.difference_update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def test_lines_of_code_are_counted():
    source = (
        '"""Doc."""\n\n# why\ndef f():\n    """Two\n    lines."""\n    return """a\nb"""  # so\n'
    )
    assert lines_of_code(source) == 3


def test_the_package_stays_small():
    assert MODULES
    sources = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in MODULES}
    long = {name: n for name, source in sources.items() if (n := len(source.splitlines())) > 300}
    assert not long, f"over 300 lines: {long}"
    total = sum(map(lines_of_code, sources.values()))
    assert total < 6400, f"{total} lines of code in minisora/"


# --- fit to share


def test_no_tracked_file_is_large():
    large = [str(path) for path in tracked() if (ROOT / path).stat().st_size > 20e6]
    assert not large, f"over 20 MB: {large}"


def test_no_tracked_file_holds_a_private_key_or_a_home_path():
    secret = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|/(?:home|root|Users)/\w|\b[A-Z]:\\+Users\\")
    for path in tracked():
        try:
            found = secret.search(read(path))
        except UnicodeDecodeError:  # not text
            continue
        assert not found, f"{path}: {found[0]}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_nothing_is_unpickled(path):
    """A pickle runs its author's code when it is opened: weights are safetensors."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert "pickle" not in ast.unparse(node)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            assert "weights_only=True" in ast.unparse(node), f"line {node.lineno}"
