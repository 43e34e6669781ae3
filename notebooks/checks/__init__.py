"""Checks for the exercises: they say what is wrong, and they also run in the package's tests.

One module for each notebook. A check takes the student's function and asserts about it, each
assertion with a message that explains; `exercise` turns that into something to call in a cell.
"""

from __future__ import annotations

import functools
from collections.abc import Callable


def exercise(praise: str) -> Callable:
    """Make a check out of a function that asserts, and prints `praise` when nothing is wrong.

    The check returns True (right), False (wrong) or None (the stub still raises
    NotImplementedError), and never raises, so that Restart-and-run-all goes through.
    """

    def decorate(check: Callable) -> Callable:
        @functools.wraps(check)
        def run(*attempt) -> bool | None:
            try:
                check(*attempt)
            except NotImplementedError:
                print("… not attempted yet: fill in the function above, then run this cell again")
                return None
            except AssertionError as wrong:
                print(f"✗ {wrong or 'not yet'}")
                return False
            except Exception as error:  # the student's own: a lesson, not a crash
                print(f"✗ it stopped with {type(error).__name__}: {error}")
                return False
            print(f"✓ {praise}")
            return True

        return run

    return decorate


def same(got, want, what: str, tolerance: float = 1e-4) -> None:
    """Assert that two arrays or tensors agree in shape and values, and say where they do not."""
    assert got is not None, f"{what}: your function returned None; is there a `return`?"
    assert tuple(got.shape) == tuple(want.shape), (
        f"{what}: expected the shape {tuple(want.shape)}, got {tuple(got.shape)}"
    )
    worst = float(abs(got - want).max())
    assert worst <= tolerance, f"{what}: the shape is right, but values differ by up to {worst:.3g}"
