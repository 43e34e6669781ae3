"""Notebook 03's checks: the package's own functions pass, and each usual mistake is named."""

import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from einops import rearrange

from minisora.dit import DiTConfig
from minisora.patches import grid_of, patchify, rotate

sys.path.insert(0, str(Path(__file__).parent.parent / "notebooks"))
from checks import patches as check  # noqa: E402


def cut_as(order):
    def cut(z, patch):
        sizes = dict(zip(("pt", "ph", "pw"), patch, strict=True))
        return rearrange(z, f"c (t pt) (h ph) (w pw) -> {order}", **sizes)

    return cut


def turn_with(one_sine, two_sine):
    def turn(x, angle):
        (one, two), cos, sin = x.chunk(2, -1), angle.cos(), angle.sin()
        return torch.cat([one * cos + one_sine * two * sin, two_sine * one * sin + two * cos], -1)

    return turn


def turn_neighbours(x, angle):
    x = rearrange(x, "n (p two) -> n (two p)", two=2)
    return rearrange(rotate(x, angle.cos(), angle.sin()), "n (two p) -> n (p two)", two=2)


def turn_overwritten(x, angle):
    one, two = x.chunk(2, -1)
    one = one * angle.cos() - two * angle.sin()
    return torch.cat([one, one * angle.sin() + two * angle.cos()], -1)


def count(frames, height, width):
    cells = ((frames + 3) // 4, height // 8, width // 8)
    return math.prod(grid_of(cells, DiTConfig().patch))


def cut_to_pieces(z, patch, starts):
    pieces = [z[(slice(None), *map(slice, at, np.add(at, patch)))] for at in starts]
    return torch.stack([piece.permute(1, 2, 3, 0).reshape(-1) for piece in pieces])


def cut_step_one(z, patch):
    return cut_to_pieces(z, patch, itertools.product(*map(range, z.shape[1:])))


def cut_step_one_inside(z, patch):
    last = np.subtract(z.shape[1:], patch) + 1
    return cut_to_pieces(z, patch, itertools.product(*map(range, last)))


def cut_unscaled(z, patch):
    return cut_to_pieces(z, patch, itertools.product(*map(range, grid_of(z.shape, patch))))


def cut_hard(z, patch):
    return rearrange(z.reshape(1, 1, 2, 2, 2, 2), "c t h p w q -> (t h w) (p q c)")


def turn_hard(x, angle):
    return rotate(x.reshape(1, 2), angle.cos(), angle.sin())


def turn_into(x, angle):
    x[:] = rotate(x, angle.cos(), angle.sin())
    return x


def test_the_packages_own_functions_pass():
    assert check.cut(lambda z, patch: patchify(z[None], patch)[0])
    assert check.count_tokens(count)
    assert check.turn(lambda x, angle: rotate(x, angle.cos(), angle.sin()))


@pytest.mark.parametrize(
    ("exercise", "attempt", "told"),
    [
        (check.cut, cut_as("(t w h) (pt ph pw c)"), "down the columns first"),
        (check.cut, cut_as("(h w t) (pt ph pw c)"), "through time first"),
        (check.cut, cut_as("(t h w) (c pt ph pw)"), "channels come first"),
        (check.cut, cut_as("(t h w) (pt pw ph c)"), "rows and columns are swapped"),
        (check.cut, cut_as("(t h w) (ph pw pt c)"), "time changes faster"),
        (check.cut, lambda z, patch: list(cut_as("(t h w) (pt ph pw c)")(z, patch)), "torch.stack"),
        (check.cut, lambda z, patch: None, "is there a `return`"),
        (check.cut, lambda z, patch: z.reshape(-1, 4), "plain reshape"),
        (check.cut, cut_step_one, "step by the patch"),
        (check.cut, cut_step_one_inside, "9 tokens instead of 4"),
        (check.cut, cut_unscaled, "overlapping"),
        (check.cut, cut_hard, "size written into"),
        (check.count_tokens, lambda f, h, w: f // 4 * (h // 8) * (w // 16), "of its own"),
        (check.count_tokens, lambda f, h, w: f * (h // 8) * (w // 16), "also compresses time"),
        (check.count_tokens, lambda f, h, w: (f + 3) // 4 * (h // 8) * (w // 8), "side by side"),
        (check.count_tokens, lambda f, h, w: (f + 3) // 4 * (h // 16) * (w // 16), "one cell high"),
        (check.count_tokens, lambda f, h, w: (f + 3) // 4 * (h // 16) * (w // 8), "the patch lies"),
        (check.count_tokens, lambda f, h, w: f * h * (w // 2), "without the VAE"),
        (check.count_tokens, lambda f, h, w: (f + 3) // 4 * (h // 8) * (h // 16), "not the height"),
        (check.count_tokens, lambda f, h, w: (1 + (f - 1) / 4) * h / 8 * w / 16, "use // "),
        (check.count_tokens, lambda f, h, w: f * h * w, "1 frame of 64x64"),
        (check.turn, turn_with(1, -1), "turns backward"),
        (check.turn, turn_with(1, 1), "lengths change"),
        (check.turn, turn_neighbours, "you turn neighbours"),
        (check.turn, turn_overwritten, "not of one that you have overwritten"),
        (check.turn, turn_into, "writes into x itself"),
        (check.turn, lambda x, angle: tuple(x.chunk(2, -1)), "both halves apart"),
        (check.turn, turn_hard, "size written into"),
        (check.turn, lambda x, angle: turn_with(-1, 1)(x, angle.rad2deg()), "radians"),
    ],
)
def test_each_usual_mistake_is_named(exercise, attempt, told, capsys):
    assert exercise(attempt) is False
    assert told in capsys.readouterr().out
