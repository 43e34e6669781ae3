"""A small vectorised ray tracer in torch: the film camera of the world.

A `Shot` holds everything that can be seen, frame by frame, as plain arrays, and is therefore also
the truth that generated videos are measured against. `trace` turns it into pixels. Every object is
a convex solid, perhaps with a hole or a bite carved out, standing in its own local frame, so one
ray test serves all poses. Most of the speed comes from where it does not look: an object is tested
only in a window of the picture that follows it, its shadow in another, and what depends on a
picture's row alone (haze, sky, how far the ground is) is worked out once a row.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from einops import rearrange

from minisora.world.shapes import BOX, hit, length, normal
from minisora.world.shot import GROUNDS, SKIES, Shot

CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
STRIPE = (0.62, 0.45, 0.64)  # tilted against every axis, so that any spin or roll moves the stripe


def at(table, frame):
    """Return a table (... t) at the given frames, whose shape takes the place of t."""
    rows = table if table.dim() == 1 else table.flatten(0, -2)  # torch is slow on more axes
    return rows.index_select(-1, frame.view(-1)).view(*table.shape[:-1], *frame.shape)


def true(mask):
    """Return the flat positions where a mask is true; numpy finds them faster than torch."""
    return torch.from_numpy(np.flatnonzero(mask.numpy()))


class Tracer:
    """One shot's rays: t frames of a grid of rows and columns, and what they meet.

    The ray at (frame, row, column) is eye + distance · (forward + u · right + v · up), so that
    distance is depth. Frame, row and column are index tensors that broadcast: a window of the
    picture (t 1 1, t h 1, t 1 w) or a list of rays (n, n, n).
    """

    def __init__(self, shot: Shot, height: int, width: int, samples: int):
        def tensor(a):
            return torch.as_tensor(np.ascontiguousarray(a), dtype=torch.float32)

        self.shot, self.height, self.width = shot, height * samples, width * samples
        self.pixel = shot.spread / (min(height, width) / 2)  # a pixel's width at distance 1
        self.step = self.pixel / samples  # from ray to ray
        self.u = (torch.arange(self.width) + 0.5 - self.width / 2) * self.step
        self.v = (self.height / 2 - 0.5 - torch.arange(self.height)) * self.step
        self.frame = torch.arange(len(shot))[:, None, None]
        self.eye, self.axes, self.bites = map(tensor, (shot.eye, shot.axes, shot.bites.T))
        # seen from each object's own frame (o ... t): the camera's place and axes, the light, up
        turn, light = shot.rotations, SKIES[shot.sky][2]
        self.home = tensor(np.einsum("toji,toj->oit", turn, shot.eye[:, None] - shot.centers))
        self.view = tensor(np.einsum("toji,tcj->oict", turn, shot.axes))
        self.light = tensor(np.einsum("toji,j->oit", turn, light))
        self.up = tensor(rearrange(turn[:, :, 1], "t o i -> o i t"))

    def corners(self, k: int) -> np.ndarray:
        """Return the corners (t 8 3) of the box around object k, in the world."""
        box = CORNERS * BOX[self.shot.shapes[k]] * self.shot.radii[k]
        return box @ self.shot.rotations[:, k].swapaxes(1, 2) + self.shot.centers[:, k, None]

    def window(self, points: np.ndarray):
        """Return rows (t h 1) and columns (t 1 w) that cover points (t p 3) in each frame."""
        x, y, z = np.einsum("tij,tpj->itp", self.shot.axes, points - self.shot.eye[:, None])
        whole = (z < 0.1).any()  # something is beside or behind the camera
        spans = []
        for place, size in ((-y, self.height), (x, self.width)):
            place = place / np.maximum(z, 0.1) / self.step + size / 2
            low, high = np.clip([place.min(1), place.max(1)], 0, size - 1).astype(int)
            extent = size if whole else int((high - low).max()) + 1
            first = torch.from_numpy(np.minimum(low, size - extent))
            spans.append(first[:, None, None] + torch.arange(extent))
        return spans[0].mT, spans[1]

    def flat(self, frame, row, column):
        """Return the positions of rays in a flattened `t height width` picture."""
        return (frame * self.height + row) * self.width + column

    def aim(self, k: int, frame, row, column):
        """Return the directions of rays (three tensors) in object k's frame."""
        m, u, v = at(self.view[k], frame), at(self.u, column), at(self.v, row)
        return [m[i, 0] * u + (m[i, 1] * v + m[i, 2]) for i in range(3)]

    def point(self, k: int, frame, row, column, far):
        """Return in object k's frame the points (three tensors) that rays reach at `far`."""
        aims = self.aim(k, frame, row, column)
        return [h + far * d for h, d in zip(at(self.home[k], frame), aims, strict=True)]

    def strike(self, k: int, frame, o, d):
        """Return the distance at which rays hit object k, in whose frame o and d are given."""
        bite = at(self.bites[k], frame) if self.shot.bites[:, k].any() else None
        shape, r = self.shot.shapes[k], float(self.shot.radii[k])
        return hit(shape, o, d, r, bite, self.shot.bite_centers[k].tolist())

    def shades(self, k: int, frame, p):
        """Say which points p (three tensors in object k's frame) object k keeps from the light."""
        return self.strike(k, frame, p, at(self.light[k], frame)) < math.inf

    def may_shade(self, j: int, k: int):
        """Say in which frames (t) the shadow of object j can reach object k."""
        shot, light = self.shot, SKIES[self.shot.sky][2]
        away = shot.centers[:, j] - shot.centers[:, k]
        along = away @ light
        reach = sum(shot.radii[i] * math.hypot(*BOX[shot.shapes[i]]) for i in (j, k))
        aside = (away**2).sum(1) - along**2
        return torch.from_numpy((along > -reach) & (aside < reach**2))

    def nearest(self):
        """Return for every ray the distance to the nearest object (inf: none) and its index (-1).

        Both are flat, `(t height width)`.
        """
        best = torch.full((len(self.shot) * self.height * self.width,), math.inf)
        which = torch.full_like(best, -1, dtype=torch.int8)
        for k in range(len(self.shot.shapes)):
            rays = self.frame, *self.window(self.corners(k))
            distance = self.strike(k, self.frame, at(self.home[k], self.frame), self.aim(k, *rays))
            met = true(distance < math.inf)
            index, distance = at(self.flat(*rays).view(-1), met), at(distance.view(-1), met)
            closer = true(distance < at(best, index))
            index = at(index, closer)
            best[index], which[index] = at(distance, closer), k
        return best, which

    def sunlit(self, far):
        """Return where the ground (at distances far: t height) is in the light: 1 or 0."""
        lit = torch.ones(len(self.shot), self.height, self.width)
        light = np.array(SKIES[self.shot.sky][2])
        for k in range(len(self.shot.shapes)):
            corners = self.corners(k)  # and where their shadows fall
            rays = self.frame, *self.window(corners - light * (corners[..., 1:2] / light[1]))
            p = self.point(k, *rays, far[self.frame, rays[1]])
            dark = true(self.shades(k, self.frame, p))
            lit.view(-1)[at(self.flat(*rays).view(-1), dark)] = 0
        return lit


def pattern(tracer: Tracer, x, z, far):
    """Return the share of the ground's first colour, its waves faded where finer than a pixel.

    Overwrites x and z: much of the time of such large tensors goes into making new ones.
    """
    _, _, (fx, fz), edge = GROUNDS[tracer.shot.ground]
    steep = far * tracer.pixel  # a pixel's size on the ground, up to the foreshortening
    wave = x.mul_(2 * math.pi * fx).add_(0.4).sin_()
    wave *= z.mul_(2 * math.pi * fz).add_(0.9).sin_()
    sharp = (edge / 2) / (1 + edge * 2 * steep)
    fade = 1 + (12 * max(fx, fz) * steep) ** 4
    return wave.mul_(sharp).clamp_(-0.5, 0.5).div_(fade).add_(0.5)


def paint(tracer: Tracer, x, z):
    """Yield for each object that leaves a trail its index and the ground it has painted so far."""
    shot = tracer.shot
    for k in np.nonzero(shot.trails)[0]:
        sx, sz = (float(s) for s in shot.trail_starts[k])
        centers = torch.as_tensor(shot.centers[:, k, :, None, None], dtype=torch.float32)
        ex, ez = centers[:, 0] - sx, centers[:, 2] - sz
        part = ((x - sx) * ex + (z - sz) * ez) / (ex * ex + ez * ez).clamp_min(1e-6)
        part = part.clamp_(0, 1)
        yield k, (x - sx - part * ex) ** 2 + (z - sz - part * ez) ** 2 < shot.trails[k] ** 2


def scenery(tracer: Tracer):
    """Return the colours (c t height width) of sky and ground, with shadows but no objects."""
    shot = tracer.shot
    zenith, horizon, light, sun, ambient, sight = SKIES[shot.sky]
    right, up, forward = tracer.axes[..., None].unbind(1)  # each t 3 1
    down = forward + up * tracer.v  # t 3 height: the middle ray of each row
    far = tracer.eye[:, 1:2] / (-down[:, 1]).clamp_min(1e-3)  # right is level: a row is one depth
    haze = torch.exp(far / -sight)[..., None]  # 0 above the horizon, where far is very far
    high = (down[:, 1, :, None] * 1.6).clamp(0, 1)
    lit = tracer.sunlit(far)
    far = far[..., None]
    x, z = (
        (far * right[:, i, None] * tracer.u).add_(
            tracer.eye[:, i, None, None] + far * down[:, i, :, None]
        )
        for i in (0, 2)
    )
    wet = list(paint(tracer, x, z))
    mix = pattern(tracer, x, z, far)
    colors = torch.empty(3, *lit.shape)
    for i, (one, two) in enumerate(zip(*GROUNDS[shot.ground][:2], strict=True)):
        color = torch.mul(mix, one - two, out=colors[i]).add_(two)
        for k, painted in wet:
            color[painted] = 0.1 * color[painted] + 0.81 * float(shot.colors[k][i])
        color *= (lit * (sun[i] * light[1])).add_(ambient)
        color *= haze
        color += horizon[i] + (zenith[i] - horizon[i]) * high - horizon[i] * haze
    return colors


def surface(tracer: Tracer, k: int, frame, p):
    """Return colour and normal (each 3 n) of object k at local surface points p (3 n)."""
    shot, r = tracer.shot, float(tracer.shot.radii[k])
    n = normal(shot.shapes[k], p, r)
    color, mark = torch.tensor(np.stack([shot.colors[k], shot.marks[k]])[..., None]).float()
    band = (STRIPE[0] * p[0] + STRIPE[1] * p[1] + STRIPE[2] * p[2]).abs() < 0.2 * r
    color = torch.where(band, mark, color)
    if shot.bites[:, k].any():
        inward = torch.tensor(shot.bite_centers[k])[:, None].float() - p
        size = at(tracer.bites[k], frame)
        cut = (length(inward) < size + 2e-3) & (size > 0)
        n = torch.where(cut, inward / size.clamp_min(1e-6), n)
        color = torch.where(cut, torch.tensor([[0.96], [0.90], [0.74]]), color)
    return color, n


def shine(tracer: Tracer, k: int, index, far):
    """Return the colours (3 n) of object k, as rays at flat positions `index` see it at `far`."""
    shot = tracer.shot
    _, horizon, _, sun, ambient, sight = SKIES[shot.sky]
    row = index // tracer.width
    rays = row // tracer.height, row % tracer.height, index % tracer.width
    frame = rays[0]
    p = torch.stack(tracer.point(k, *rays, far))
    color, n = surface(tracer, k, frame, p)
    facing = (n * at(tracer.light[k], frame)).sum(0).clamp_min_(0)
    for j, shape in enumerate(shot.shapes):
        if j != k:
            some = true(at(tracer.may_shade(j, k), frame) & (facing > 0))
            q = tracer.point(j, *(at(i, some) for i in (*rays, far)))
        elif shape == "ring" or shot.bites[:, k].any():
            some = true(facing > 0)
            q = at(p, some) + 2e-2 * at(n, some)
        else:
            continue  # a convex solid shades nothing of itself that faces the light
        facing[some[tracer.shades(j, at(frame, some), q)]] = 0
    # more light from the sky than from the ground
    fill = ambient * (0.85 + 0.25 * (n * at(tracer.up[k], frame)).sum(0))
    sun, horizon = torch.tensor([sun, horizon])[..., None]
    return horizon + (color * (fill + sun * facing) - horizon) * torch.exp(far / -sight)


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
    for k in range(len(shot.shapes)):
        index = true(which == k)
        seen = shine(tracer, k, index, at(distance, index))
        colors.view(3, -1).index_copy_(1, index, seen)
    # the mean over each pixel's rays: strided sums are ten times faster than avg_pool2d here
    image = sum(colors[:, :, i::samples] for i in range(samples))
    image = sum(image[..., i::samples] for i in range(samples)) / samples**2
    image = image.clamp_(0, 1)
    return rearrange((image * 255 + 0.5).to(torch.uint8), "c t h w -> t h w c").numpy()


@torch.inference_mode()
def visible(shot: Shot, height: int, width: int, samples: int = 2) -> np.ndarray:
    """Return how many pixels each object covers in each frame, parts counted: float `t o`."""
    _, which = Tracer(shot, height, width, samples).nearest()
    which = which.view(len(shot), -1)
    seen = [(which == k).sum(1) for k in range(len(shot.shapes))]
    return torch.stack(seen, 1).numpy() / samples**2
