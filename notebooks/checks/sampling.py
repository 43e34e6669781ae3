"""Checks of notebook 07: a Heun step, the times of a walk, guidance."""

from __future__ import annotations

import torch

from checks import exercise, same


def _field(z: torch.Tensor, tau: float) -> torch.Tensor:
    """A velocity that changes with place and time, so that mistakes show."""
    return z * (1 + tau) + tau**2


@exercise("two looks at the field for one better step")
def heun_step(attempt) -> None:
    """A step of Heun's method from τ `now` to `then`."""
    z, now, then = torch.tensor([1.0, -2.0, 0.5]), 0.8, 0.5
    h = then - now
    first = _field(z, now)
    ahead = z + h * first
    got = attempt(_field, z.clone(), now, then)
    assert got is not None, "heun_step returned None; is there a `return`?"
    assert torch.is_tensor(got), f"expected the new z, a tensor, not {type(got).__name__}"
    assert got.shape == z.shape, f"the shape stays {tuple(z.shape)}, yours is {tuple(got.shape)}"

    def close(wrong: torch.Tensor) -> bool:
        return float((got - wrong).abs().max()) < 1e-5

    second = _field(ahead, then)
    assert not close(ahead), "that is Euler's step: now look at the field at its end, and average"
    assert not close(z + h * (first + second)), "the MEAN of the two velocities: divide by 2"
    assert not close(z + h * second), "average the velocity at the end with that at the beginning"
    middle = _field(z + h / 2 * first, (now + then) / 2)
    assert not close(z + h * middle), "that is the midpoint method: look at the END, and average"
    turned = z - h * (first + _field(z - h * first, then)) / 2
    assert not close(z - h * (first + second) / 2) and not close(turned), (
        "you walk the wrong way: z changes by (then − now)·v, and then − now is negative"
    )
    assert not close(z + h * (first + _field(ahead, now)) / 2), "the second look is at τ = then"
    assert not close(z + h * (first + _field(z, then)) / 2), (
        "the second look is from where Euler's step ends, not from where it began"
    )
    assert not close(ahead + h * (first + second) / 2), "start again from z, not from Euler's end"
    same(got, z + h * (first + second) / 2, "one step from 0.8 to 0.5")


@exercise("a walk that takes its time where the fog is")
def times_of(attempt) -> None:
    """The τ of each step, from 1 to 0, with a shift."""
    for steps, shift in ((4, 1.0), (5, 3.0)):
        got = attempt(steps, shift)
        assert got is not None, "times_of returned None; is there a `return`?"
        got, even = torch.as_tensor(got, dtype=torch.float32), torch.linspace(1, 0, steps + 1)
        assert got.shape == (steps + 1,), (
            f"{steps} steps have {steps + 1} ends, from 1 to 0; you return {tuple(got.shape)}"
        )
        assert not torch.allclose(got, even.flip(0)), "τ falls: from 1, noise, to 0, data"
        if shift != 1:
            wrong = even / (shift + (1 - shift) * even)
            assert not torch.allclose(got, even), "the shift does nothing yet"
            no_brackets = shift * even + (shift - 1) * even
            assert not torch.allclose(got, no_brackets), "brackets around the whole divisor"
            assert not torch.allclose(got, wrong, atol=1e-4), (
                "that is the inverse: your steps crowd near the data; near the noise is meant"
            )
        same(got, shift * even / (1 + (shift - 1) * even), f"{steps} steps, shift {shift}")


@exercise("away from what it would do anyway, towards what was asked")
def guide(attempt) -> None:
    """Velocities with and without caption to the guided one."""
    without, with_caption = torch.tensor([1.0, 0.0, -1.0]), torch.tensor([2.0, 1.0, 3.0])
    got = attempt(without.clone(), with_caption.clone(), 3.0)
    assert got is not None, "guide returned None; is there a `return`?"

    def close(wrong: torch.Tensor) -> bool:
        return tuple(got.shape) == (3,) and float((got - wrong).abs().max()) < 1e-5

    difference = with_caption - without
    assert not close(with_caption + 3 * difference), (
        "begin at the velocity WITHOUT the caption, so that g = 1 is the plain model; "
        "yours is one unit stronger than its name"
    )
    assert not close(without - 3 * difference), "the sign: towards the caption, not away from it"
    assert not close(with_caption - 3 * difference), "the sign: towards the caption, not away"
    assert not close(3 * with_caption), "subtract what the model would do without the caption"
    assert not close(without + 3 * with_caption), "push by the DIFFERENCE: with − without"
    assert not close(3 * difference), "add the push to the velocity without the caption"
    same(got, without + 3 * difference, "guidance 3")
    plain = attempt(without.clone(), with_caption.clone(), 1.0)
    same(plain, with_caption, "g = 1 is the plain model (does g do anything?)")
    deaf = attempt(without.clone(), with_caption.clone(), 0.0)
    same(deaf, without, "g = 0 does not hear the caption")
