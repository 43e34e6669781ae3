# Every target makes its own .venv where it is missing. Without make: the plain commands in README.md.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lab weights clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/ready  ## film a sentence with the shipped weights: demo.mp4
	$(BIN)/minisora generate "crimson ball hopping on a chessboard, the camera circles it to the left" --seed 0 -o demo.mp4
	$(BIN)/minisora verify demo.mp4

test: .venv/ready  ## lint, then run every test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pytest --durations=10

lab: .venv/ready  ## open the notebooks
	$(BIN)/jupyter lab notebooks

weights: .venv/ready  ## train the shipped weights again, from nothing
	$(BIN)/minisora train vae --preset cpu --out minisora/weights
	$(BIN)/minisora train dit --preset cpu --out minisora/weights
	$(BIN)/minisora train dit --preset polish --seed 1 --out minisora/weights
	$(BIN)/minisora train dit --preset finish --seed 2 --out minisora/weights
	$(BIN)/minisora train judge --preset cpu --out minisora/weights
	$(BIN)/minisora train captioner --preset cpu --out minisora/weights

clean:  ## remove .venv, caches and demo.mp4; weights and your own data stay
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache demo.mp4
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so that an interrupted install starts again.
.venv/ready: pyproject.toml constraints.txt
	@test -x $(BIN)/pip || $(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null \
		|| { echo 'minisora needs Python 3.10 or newer with venv (Debian, Ubuntu: sudo apt install python3-venv; another Python: make PYTHON=python3.12)' >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev]"
	@touch $@
