"""A small vectorised ray tracer in torch: the film camera of the world.

A `Shot` holds everything that can be seen, frame by frame, as plain arrays, and is therefore also
the truth that generated videos are measured against. `trace` turns it into pixels. Every object is
a convex solid, perhaps with a hole or a bite carved out, standing in its own local frame, so one
ray test serves all poses. Rays that miss an object's bounding sphere are never tested against it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange

# half sizes in units of an object's radius: what makes a cube look as large as a sphere
CUBE, DRUM, DRUM_HEIGHT, CONE, CONE_HEIGHT, HOLE, RING_DEPTH = 0.8, 0.75, 0.85, 0.95, 1.0, 0.58, 0.3
BOUND = {"sphere": 1.0, "cube": 1.39, "cylinder": 1.14, "cone": 1.38, "ring": 1.05}
STRIPE = (0.62, 0.45, 0.64)  # tilted against every axis, so that any spin or roll moves the stripe

# ground: two colours, waves per unit along x and z, how hard the edge between the two is
GROUNDS = {
    "checkered": ((0.88, 0.87, 0.84), (0.34, 0.36, 0.40), (0.5, 0.5), 9.0),
    "sand": ((0.87, 0.75, 0.53), (0.78, 0.64, 0.42), (0.13, 0.45), 1.0),
    "grass": ((0.42, 0.62, 0.27), (0.27, 0.47, 0.19), (0.55, 0.40), 1.2),
    "snow": ((0.95, 0.96, 0.98), (0.82, 0.86, 0.92), (0.17, 0.24), 1.0),
}
# sky: zenith, horizon, direction to the light, its colour, ambient light, sight in units
SKIES = {
    "day": ((0.30, 0.55, 0.90), (0.78, 0.88, 0.97), (-0.5, 0.85, 0.45), (0.72, 0.70, 0.64), 0.42, 40),
    "sunset": ((0.36, 0.30, 0.55), (0.98, 0.62, 0.36), (0.8, 0.5, 0.3), (0.78, 0.52, 0.32), 0.40, 35),
    "night": ((0.02, 0.03, 0.10), (0.10, 0.13, 0.26), (0.45, 0.8, 0.4), (0.40, 0.46, 0.60), 0.26, 30),
    "fog": ((0.74, 0.76, 0.79), (0.80, 0.82, 0.84), (-0.2, 1.0, 0.3), (0.38, 0.38, 0.38), 0.56, 11),
}
for name, (zenith, horizon, light, *rest) in SKIES.items():
    SKIES[name] = (zenith, horizon, tuple(v / math.hypot(*light) for v in light), *rest)


@dataclass(frozen=True)
class Shot:
    """Everything a camera sees, as arrays over t frames and o objects; lengths in world units.

    x points right, y up, z towards the camera's place in the first frame; the ground is y = 0.
    """

    eye: np.ndarray  # t 3, where the camera is
    axes: np.ndarray  # t 3 3, rows: the camera's right, up and forward, unit vectors
    spread: float  # tangent of half the angle of view along the shorter side
    shapes: tuple[str, ...]  # o names
    radii: np.ndarray  # o
    colors: np.ndarray  # o 3 in [0, 1]
    marks: np.ndarray  # o 3 in [0, 1], the stripe
    centers: np.ndarray  # t o 3
    rotations: np.ndarray  # t o 3 3, local to world
    bites: np.ndarray  # t o, radius of the piece that is missing, 0 where nothing is
    bite_centers: np.ndarray  # o 3, in the object's local frame
    trails: np.ndarray  # o, half width of the painted trail, 0 for none
    trail_starts: np.ndarray  # o 2, x and z where the paint begins
    ground: str
    sky: str

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.eye)


def quadratic(a, b, c):
    """Return the interval where a·s² + 2b·s + c ≤ 0, for a > 0; empty intervals are (inf, -inf)."""
    root = (b * b - a * c).clamp_min(0).sqrt()
    miss = b * b < a * c
    a = a.clamp_min(1e-9)
    return ((-b - root) / a).masked_fill(miss, math.inf), ((root - b) / a).masked_fill(miss, -math.inf)


def slab(origin, direction, half):
    """Return the interval of a ray between two parallel planes at -half and +half."""
    safe = torch.where(direction.abs() < 1e-9, torch.full_like(direction, 1e-9), direction)
    near, far = (-half - origin) / safe, (half - origin) / safe
    return torch.minimum(near, far), torch.maximum(near, far)


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
    a = torch.where(a.abs() < 1e-7, torch.full_like(a, 1e-7), a)
    b = o[0] * d[0] + o[2] * d[2] + k2 * height * d[1]
    c = o[0] * o[0] + o[2] * o[2] - k2 * height * height
    disc = b * b - a * c
    root = disc.clamp_min(0).sqrt()
    one, two = (-b - root) / a, (-b + root) / a
    near, far = torch.minimum(one, two), torch.maximum(one, two)
    upper = height - (near + far) / 2 * d[1] < 0  # the mirror image of the cone above its tip
    flat = a > 0
    miss = flat & ((disc < 0) | upper)
    down = d[1] < 0
    enter = torch.where(flat, near, torch.where(down, far, torch.full_like(near, -math.inf)))
    leave = torch.where(flat, far, torch.where(down, torch.full_like(far, math.inf), near))
    return meet((enter.masked_fill(miss, math.inf), leave), slab(o[1], d[1], CONE_HEIGHT * r))


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
        shape: one of `BOUND`.
        o: three tensors of n, the rays' origins in the local frame.
        d: three tensors of n, their directions, of any length.
        r: the object's radius.
        bite: n radii of the missing piece, or None.
        bite_center: 3, its centre in the local frame.
    """
    span = solid(shape, o, d, r)
    if shape == "ring":
        span = carve(span, tube(o, d, 0, 1, HOLE * r))
    if bite is not None:
        span = carve(span, ball([o[i] - bite_center[i] for i in range(3)], d, bite))
    visible = (span[0] < span[1]) & (span[0] > 1e-3)
    return torch.where(visible, span[0], torch.full_like(span[0], math.inf))


def normal(shape: str, p, r):
    """Return the outward unit normal (n 3) at local surface points p (n 3)."""
    out = torch.zeros_like(p)
    if shape == "sphere":
        return p / r
    if shape == "cube":
        return out.scatter_(1, p.abs().argmax(1, keepdim=True), 1.0) * p.sign()
    axis = 2 if shape == "ring" else 1
    across = p.clone()
    across[:, axis] = 0
    across = across / across.norm(dim=1, keepdim=True).clamp_min(1e-6)
    cap = {"ring": RING_DEPTH, "cylinder": DRUM_HEIGHT, "cone": CONE_HEIGHT}[shape] * r - 1e-3
    if shape == "cone":
        slope = CONE / (2 * CONE_HEIGHT)
        side = torch.nn.functional.normalize(across + torch.eye(3)[1] * slope, dim=1)
        flat = p[:, 1] < -cap
    else:
        inner = (shape == "ring") & (p[:, :2].norm(dim=1) < r * (1 + HOLE) / 2)
        side = torch.where(inner[:, None], -across, across) if shape == "ring" else across
        flat = p[:, axis].abs() > cap
    out[:, axis] = p[:, axis].sign()
    return torch.where(flat[:, None], out, side)


class Tracer:
    """One shot's rays, t frames of n: what they hit, and what the light does not reach."""

    def __init__(self, shot: Shot, height: int, width: int, samples: int):
        def tensor(a):
            return torch.as_tensor(np.asarray(a), dtype=torch.float32)

        self.shot = shot
        self.eye, self.axes, self.centers = map(tensor, (shot.eye, shot.axes, shot.centers))
        self.rotations, self.bites = map(tensor, (shot.rotations, shot.bites))
        self.pixel = shot.spread / (min(height, width) / 2)  # a pixel's width at distance 1
        rows = (torch.arange(height * samples) + 0.5) / samples - height / 2
        columns = (torch.arange(width * samples) + 0.5) / samples - width / 2
        v, u = torch.meshgrid(-rows * self.pixel, columns * self.pixel, indexing="ij")
        self.u, self.v = u.reshape(-1), v.reshape(-1)
        self.n = self.u.numel()
        right, up, forward = (self.axes[:, i, :, None] for i in range(3))  # each t 3 1
        # three tensors of t n; a ray is eye + distance · d, and d has length 1 along the axis
        self.d = [forward[:, i] + right[:, i] * self.u + up[:, i] * self.v for i in range(3)]
        below = forward[:, 1] + up[:, 1] * self.v < -1e-3  # the camera never tilts sideways
        row = int(below.any(0).float().argmax()) if below.any() else self.n
        self.ground = slice(row // (width * samples) * width * samples, None)

    def strike(self, k: int, frame, o, d):
        """Return rays in object k's local frame and the distance at which they hit it.

        Args:
            k: the object.
            frame: n, the frame of each ray.
            o, d: three tensors of n (or numbers): origins and directions in the world.
        """
        shot, turn = self.shot, self.rotations[:, k]
        move = torch.einsum("tji,tj->it", turn, -self.centers[:, k])
        rows = torch.cat([rearrange(turn, "t j i -> (i j) t"), move])[:, frame]  # 12 n
        r, m = [rows[3 * i : 3 * i + 3] for i in range(3)], rows[9:]
        lo = [r[i][0] * o[0] + r[i][1] * o[1] + r[i][2] * o[2] + m[i] for i in range(3)]
        ld = [r[i][0] * d[0] + r[i][1] * d[1] + r[i][2] * d[2] for i in range(3)]
        bite = self.bites[frame, k] if shot.bites[:, k].any() else None
        distance = hit(shot.shapes[k], lo, ld, float(shot.radii[k]), bite, shot.bite_centers[k].tolist())
        return lo, ld, distance

    def gather(self, index):
        """Return frame, origins and directions of the rays at flat positions `index`."""
        frame = index // self.n
        eye = self.eye.T[:, frame]
        return frame, list(eye), [d.view(-1)[index] for d in self.d]

    def nearest(self):
        """Return for every ray the distance to the nearest object (inf: none) and its index (-1)."""
        best = torch.full((len(self.shot) * self.n,), math.inf)
        which = torch.full_like(best, -1, dtype=torch.int8)
        length2 = 1 + self.u * self.u + self.v * self.v
        for k, shape in enumerate(self.shot.shapes):
            away = self.eye - self.centers[:, k]
            c = (away * away).sum(1, keepdim=True) - (self.shot.radii[k] * BOUND[shape]) ** 2
            right, up, forward = torch.einsum("tij,tj->it", self.axes, away)[:, :, None]
            b = right * self.u + (forward + up * self.v)
            index = (b < -(c * length2).clamp_min(0).sqrt()).view(-1).nonzero()[:, 0]
            distance = self.strike(k, *self.gather(index))[2]
            closer = distance < best[index]
            best[index[closer]] = distance[closer]
            which[index[closer]] = k
        return best, which

    def shade(self, lit, points, light, frame=None):
        """Set `lit` to 0 at those points (three tensors like `lit`) that an object shades.

        Without `frame` the points are laid out as `t n`; with it they are flat.
        """
        flat = lit.view(-1)
        for k, shape in enumerate(self.shot.shapes):
            centers = self.centers[:, k, :, None] if frame is None else self.centers[frame, k]
            away = [points[i] - centers[:, i] for i in range(3)]
            b = light[0] * away[0] + light[1] * away[1] + light[2] * away[2]
            c = away[0] ** 2 + away[1] ** 2 + away[2] ** 2
            c -= (self.shot.radii[k] * BOUND[shape]) ** 2
            index = ((b * b > c) & ((b < 0) | (c < 0))).view(-1).nonzero()[:, 0]
            where = index // lit.shape[-1] if frame is None else frame[index]
            o = [p.expand_as(lit).reshape(-1)[index] for p in points]
            flat[index[self.strike(k, where, o, list(light))[2] < math.inf]] = 0
        return lit


def ground_color(tracer: Tracer, x, z, distance):
    """Return the ground's colour (three tensors), faded where a wave is finer than a pixel."""
    one, two, (fx, fz), edge = GROUNDS[tracer.shot.ground]
    steep = distance * tracer.pixel  # a pixel's size on the ground, up to the foreshortening
    wave = torch.sin(2 * math.pi * fx * x + 0.4) * torch.sin(2 * math.pi * fz * z + 0.9)
    sharp = (edge / 2) / (1 + edge * 2 * steep)
    fade = 1 + (12 * max(fx, fz) * steep) ** 4
    mix = (wave * sharp).clamp_(-0.5, 0.5) / fade + 0.5
    return [two[i] + (one[i] - two[i]) * mix for i in range(3)]


def paint(tracer: Tracer, color, x, z):
    """Lay the trails that objects have left so far over the ground's colour (tensors of t n)."""
    shot = tracer.shot
    for k in np.nonzero(shot.trails)[0]:
        sx, sz = (float(s) for s in shot.trail_starts[k])
        ex, ez = (tracer.centers[:, k, i, None] - s for i, s in ((0, sx), (2, sz)))
        part = ((x - sx) * ex + (z - sz) * ez) / (ex * ex + ez * ez).clamp_min(1e-6)
        part = part.clamp_(0, 1)
        gap2 = (x - sx - part * ex) ** 2 + (z - sz - part * ez) ** 2
        wet = (gap2 < shot.trails[k] ** 2) * 0.9
        color = [c + (float(shot.colors[k][i]) * 0.9 - c) * wet for i, c in enumerate(color)]
    return color


def scenery(tracer: Tracer):
    """Return the colours of sky and ground without objects but with their shadows: 3 x (t n)."""
    shot = tracer.shot
    zenith, horizon, light, sun, ambient, sight = SKIES[shot.sky]
    high = (tracer.d[1] * 1.6).clamp_(0, 1)
    colors = [horizon[i] + (zenith[i] - horizon[i]) * high for i in range(3)]
    dx, dy, dz = (d[:, tracer.ground] for d in tracer.d)
    far = tracer.eye[:, 1:2] / (-dy).clamp_min(1e-3)
    x, z = tracer.eye[:, :1] + far * dx, tracer.eye[:, 2:] + far * dz
    lit = tracer.shade(torch.ones_like(x), [x, torch.zeros(1, 1), z], light)
    haze = torch.exp(far * (-1 / sight)) * (dy < -1e-3)
    for i, color in enumerate(paint(tracer, ground_color(tracer, x, z, far), x, z)):
        shone = color * (lit * (sun[i] * light[1]) + ambient) - horizon[i]
        target = colors[i][:, tracer.ground]
        torch.where(dy < -1e-3, shone * haze + horizon[i], target, out=target)
    return colors


def surface(tracer: Tracer, k: int, frame, p):
    """Return colour and world normal (each n 3) of object k at local surface points p (n 3)."""
    shot, r = tracer.shot, float(tracer.shot.radii[k])
    n = normal(shot.shapes[k], p, r)
    color, mark = torch.tensor(np.stack([shot.colors[k], shot.marks[k]]), dtype=torch.float32)
    band = (p @ torch.tensor(STRIPE)).abs() < 0.2 * r
    color = torch.where(band[:, None], mark, color)
    if shot.bites[:, k].any():
        inward = torch.tensor(shot.bite_centers[k], dtype=torch.float32) - p
        size = tracer.bites[frame, k]
        cut = ((inward.norm(dim=1) < size + 2e-3) & (size > 0))[:, None]
        n = torch.where(cut, inward / size.clamp_min(1e-6)[:, None], n)
        color = torch.where(cut, torch.tensor([0.96, 0.90, 0.74]), color)
    return color, torch.einsum("nij,nj->ni", tracer.rotations[frame, k], n)


@torch.inference_mode()
def trace(shot: Shot, height: int, width: int, samples: int = 2) -> np.ndarray:
    """Film a shot.

    Args:
        shot: what is to be seen.
        height, width: in pixels.
        samples: rays per pixel along each axis; they are averaged (anti-aliasing).

    Returns:
        frames, uint8 `t h w c`.
    """
    tracer = Tracer(shot, height, width, samples)
    distance, which = tracer.nearest()
    colors = scenery(tracer)
    _, horizon, light, sun, ambient, sight = SKIES[shot.sky]
    for k in range(len(shot.shapes)):
        index = (which == k).nonzero()[:, 0]
        frame, o, d = tracer.gather(index)
        far = distance[index]
        lo, ld, _ = tracer.strike(k, frame, o, d)
        color, n = surface(tracer, k, frame, torch.stack([a + far * b for a, b in zip(lo, ld, strict=True)], 1))
        point = [o[i] + far * d[i] + 2e-2 * n[:, i] for i in range(3)]
        lit = tracer.shade(torch.ones_like(far), point, light, frame)
        facing = (n @ torch.tensor(light)).clamp_min(0) * lit
        fill = ambient * (0.85 + 0.25 * n[:, 1])  # more light from the sky than from the ground
        haze = torch.exp(-far / sight)
        for i in range(3):
            bright = color[:, i] * (fill + sun[i] * facing)
            colors[i].view(-1)[index] = horizon[i] + (bright - horizon[i]) * haze
    image = rearrange(torch.stack(colors), "c t (h w) -> t c h w", h=height * samples)
    image = torch.nn.functional.avg_pool2d(image, samples).clamp_(0, 1)
    return rearrange((image * 255 + 0.5).to(torch.uint8), "t c h w -> t h w c").numpy()


@torch.inference_mode()
def visible(shot: Shot, height: int, width: int, samples: int = 2) -> np.ndarray:
    """Return how many pixels each object covers in each frame: float `t o`, parts of pixels count."""
    _, which = Tracer(shot, height, width, samples).nearest()
    which = which.view(len(shot), -1)
    seen = [(which == k).float().sum(1) for k in range(len(shot.shapes))]
    return torch.stack(seen, 1).numpy() / samples**2
