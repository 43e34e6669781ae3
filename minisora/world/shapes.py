"""The solids of the world: where a ray meets each shape, and which way its surface faces there.

Everything is in the object's own frame, vectorised over any number of rays: three tensors for the
rays' origins o, three that broadcast with them for their directions d. An interval is a pair of
distances, where a ray enters a solid and where it leaves; one that ends before it starts is a miss.
"""

from __future__ import annotations

import math

import torch

# half sizes in units of an object's radius: what makes a cube look as large as a sphere
CUBE, DRUM, DRUM_HEIGHT, CONE, CONE_HEIGHT, HOLE, RING_DEPTH = 0.8, 0.75, 0.85, 0.95, 1.0, 0.58, 0.3
BOX = {  # half sizes of the box around each shape
    "sphere": (1.0, 1.0, 1.0),
    "cube": (CUBE, CUBE, CUBE),
    "cylinder": (DRUM, DRUM_HEIGHT, DRUM),
    "cone": (CONE, CONE_HEIGHT, CONE),
    "ring": (1.0, 1.0, RING_DEPTH),
}


def quadratic(a, b, c):
    """Return the interval where a·s² + 2b·s + c ≤ 0, for a > 0.

    Where there is none it ends before it starts, and stays so however it is met or carved.
    """
    a = a.clamp_min(1e-9)  # 0 for a ray along the axis of a tube
    square = b * b - a * c
    root = square.abs().sqrt_().copysign_(square)  # torch's sqrt is slow on negative numbers
    inverse = 1 / a
    return (-b - root) * inverse, (root - b) * inverse


def slab(origin, direction, half):
    """Return the interval of a ray between two parallel planes at -half and +half."""
    inverse = 1 / torch.where(direction.abs() < 1e-9, 1e-9, direction)
    middle, reach = -origin * inverse, half * inverse.abs()
    return middle - reach, middle + reach


def meet(first, second):
    """Return the intersection of two intervals."""
    return torch.maximum(first[0], second[0]), torch.minimum(first[1], second[1])


def tube(o, d, i, j, radius):
    """Return the interval of rays inside an endless cylinder across the axes i and j."""
    a = d[i] * d[i] + d[j] * d[j]
    return quadratic(a, o[i] * d[i] + o[j] * d[j], o[i] * o[i] + o[j] * o[j] - radius**2)


def ball(o, d, radius):
    """Return the interval of rays inside a sphere around the origin."""
    dot = [sum(p * q for p, q in zip(u, v, strict=True)) for u, v in ((d, d), (o, d), (o, o))]
    return quadratic(dot[0], dot[1], dot[2] - radius * radius)


def spire(o, d, r):
    """Return the interval of rays inside a cone: base at -r, tip at +r along y."""
    k2 = (CONE / (2 * CONE_HEIGHT)) ** 2
    height = CONE_HEIGHT * r - o[1]
    a = d[0] * d[0] + d[2] * d[2] - k2 * d[1] * d[1]
    a = torch.where(a.abs() < 1e-7, 1e-7, a)
    b = o[0] * d[0] + o[2] * d[2] + k2 * height * d[1]
    c = o[0] * o[0] + o[2] * o[2] - k2 * height * height
    square = b * b - a * c
    middle, reach = -b / a, square.abs().sqrt_().copysign_(square) / a.abs()
    near, far = middle - reach, middle + reach
    # a flat ray (a > 0) crosses the cone or its mirror image above the tip, or misses both;
    # a steep one always enters the one and leaves the other
    flat, down = a > 0, d[1] < 0
    miss = flat & (height < middle * d[1])
    enter = torch.where(flat, near, torch.where(down, far, -math.inf)).masked_fill(miss, math.inf)
    leave = torch.where(flat | ~down, torch.where(flat, far, near), math.inf)
    return meet((enter, leave), slab(o[1], d[1], CONE_HEIGHT * r))


def solid(shape: str, o, d, r):
    """Return where rays enter and leave a shape's solid hull, in its local frame."""
    if shape == "sphere":
        return ball(o, d, r)
    if shape == "cube":
        sides = [slab(o[i], d[i], CUBE * r) for i in range(3)]
        return meet(meet(sides[0], sides[1]), sides[2])
    if shape == "cylinder":
        return meet(tube(o, d, 0, 2, DRUM * r), slab(o[1], d[1], DRUM_HEIGHT * r))
    if shape == "ring":
        return meet(tube(o, d, 0, 1, r), slab(o[2], d[2], RING_DEPTH * r))
    return spire(o, d, r)


def carve(interval, hole):
    """Return an interval's start moved behind a hole, if it lies within that hole."""
    inside = (interval[0] > hole[0]) & (interval[0] < hole[1])
    return torch.where(inside, hole[1], interval[0]), interval[1]


def hit(shape: str, o, d, r, bite=None, bite_center=None):
    """Return the distance along each ray to a shape's surface, inf for a miss.

    Args:
        shape: one of `BOX`.
        o: three tensors, the rays' origins in the local frame.
        d: three tensors that broadcast with them, their directions, of any length.
        r: the object's radius.
        bite: the radii of the missing piece, a tensor that broadcasts with o and d, or None.
        bite_center: 3, its centre in the local frame.
    """
    span = solid(shape, o, d, r)
    if shape == "ring":
        span = carve(span, tube(o, d, 0, 1, HOLE * r))
    if bite is not None:
        span = carve(span, ball([o[i] - bite_center[i] for i in range(3)], d, bite))
    return torch.where((span[0] < span[1]) & (span[0] > 1e-3), span[0], math.inf)


def length(p):
    """Return the lengths (n) of vectors (3 n)."""
    return (p * p).sum(0).sqrt_()


def normal(shape: str, p, r):
    """Return the outward unit normal (3 n) at local surface points p (3 n)."""
    if shape == "sphere":
        return p / r
    if shape == "cube":
        size = p.abs()
        return p.sign() * (size == size.amax(0))
    axis = 2 if shape == "ring" else 1
    side = p.clone()
    side[axis] = 0
    across = length(side)
    side /= across.clamp_min(1e-6)
    cap = BOX[shape][axis] * r - 1e-3
    flat = p[axis].abs() > cap
    if shape == "cone":
        slope = CONE / (2 * CONE_HEIGHT)
        side[1] = slope
        side /= math.hypot(1, slope)
        flat = p[1] < -cap
    if shape == "ring":
        side = torch.where(across < r * (1 + HOLE) / 2, -side, side)
    cap_normal = torch.zeros_like(p)
    cap_normal[axis] = p[axis].sign()
    return torch.where(flat, cap_normal, side)
