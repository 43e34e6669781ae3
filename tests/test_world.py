"""The world: what is promised of scenes, captions, physics, and the pictures of them."""

import math
import random
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from minisora import world
from minisora.world import (
    Camera,
    Scene,
    Thing,
    captions,
    film,
    motion,
    render,
    sample_scene,
    scenes,
    shapes,
    truth,
)

FPS = 8.0
SHORT = dict(frames=5, height=64, width=64)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small tensors: a second thread costs more than it brings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def drawn():
    return {
        split: [sample_scene(seed, split) for seed in range(60)] for split in ("train", "heldout")
    }


def alone(motion="still", shape="sphere", camera="still", **more) -> Scene:
    thing = Thing(shape, "red", more.pop("size", "large"), motion, **more)
    return Scene((thing,), Camera(camera))


def path(scene: Scene, k=0, seconds=4.0, rate=1000):
    t = np.arange(0, seconds, 1 / rate)
    return t, *motion.pose(scene, k, t)


# repeats, sizes, splits


def test_the_same_seed_gives_the_same_scene_and_pixels(drawn):
    for split, seed in (("train", 5), ("heldout", 7)):
        again = sample_scene(seed, split)
        assert again == drawn[split][seed]
        assert np.array_equal(render(again, **SHORT).frames, render(again, **SHORT).frames)


def test_different_seeds_give_different_scenes_and_pixels(drawn):
    everything = [repr(replace(s, seed=0)) for split in drawn.values() for s in split]
    assert len(set(everything)) == len(everything)
    first, second = (render(sample_scene(seed), **SHORT).frames for seed in (1, 2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("size", [(3, 40, 72), (5, 96, 48), (1, 16, 24), (2, 33, 47)])
def test_any_size(size):
    frames, height, width = size
    video = render(sample_scene(3), frames=frames, height=height, width=width)
    assert video.frames.shape == (frames, height, width, 3)
    assert video.frames.dtype == np.uint8
    assert video.fps == FPS


def test_a_part_of_a_clip_is_the_same_as_filming_it_later(drawn):
    scene = drawn["train"][0]
    late = render(scene, **SHORT, start=6 / FPS).frames
    whole = render(scene, frames=11, height=64, width=64).frames
    assert np.abs(late.astype(int) - whole[6:]).max() <= 1


def test_held_out_combinations_never_appear_in_training(drawn):
    def combos(scene):
        return [scenes.held_out(o.color, o.shape, o.motion) for o in scene.objects]

    assert not any(any(combos(scene)) for scene in drawn["train"])
    for scene in drawn["heldout"]:
        first, *others = combos(scene)
        assert first and not any(others)


def test_every_shape_color_and_motion_is_in_training_and_held_out():
    every = [(c, s, m) for m, can in scenes.MOTIONS.items() for s in can for c in scenes.COLORS]
    for out in (False, True):
        some = [combo for combo in every if scenes.held_out(*combo) == out]
        assert {c for c, _, _ in some} == set(scenes.COLORS)
        assert {s for _, s, _ in some} == set(scenes.SHAPES)
        assert {m for _, _, m in some} == set(scenes.MOTIONS)


def test_only_shapes_that_can_do_a_motion_do_it(drawn):
    for scene in drawn["train"] + drawn["heldout"]:
        for k, thing in enumerate(scene.objects):
            assert thing.shape in scenes.MOTIONS[thing.motion]
            assert (thing.partner is not None) == (thing.motion in scenes.PARTNERED)
            assert thing.partner != k


# captions


def tokens(caption: str) -> list[str]:
    return re.findall(r"[a-z]+|[^a-z ]", caption)


@pytest.mark.parametrize("level", captions.LEVELS)
def test_captions_are_short_and_use_only_the_vocabulary(drawn, level):
    known = set(captions.vocabulary(tuple(scenes.COLORS)))
    three = [sample_scene(seed, objects=3) for seed in range(6)]
    for scene in drawn["train"] + three:
        for seed in (None, *range(12)):
            caption = captions.describe(scene, level, None if seed is None else random.Random(seed))
            assert set(tokens(caption)) <= known, caption
            assert len(tokens(caption)) <= 48, caption


def test_the_longest_caption_of_the_grammar_fits():
    def longest(row):
        return max(row, key=lambda phrase: len(tokens(phrase)))

    class Longest(random.Random):
        def choice(self, row):
            return longest(row)

    for move in scenes.MOTIONS:
        partner = 1 if move in scenes.PARTNERED else None
        things = (Thing("cube", "red", "small", move, partner=partner),)
        # a partner only rests or spins
        others = ("spins" if partner else "trail", "trail")
        things += tuple(Thing("ring", "blue", "small", other) for other in others)
        for camera in captions.CAMERAS:
            caption = captions.describe(Scene(things, Camera(camera)), "full", Longest(0))
            assert len(tokens(caption)) <= 48, caption


def test_a_full_caption_names_everything(drawn):
    for scene in drawn["train"]:
        caption = scene.caption
        for thing in scene.objects:
            assert f"{thing.size} {thing.color} {thing.shape}" in caption
        assert captions.CAMERAS[scene.camera.motion][0] in caption
        assert captions.GROUNDS[scene.ground][0] in caption
        short = captions.describe(scene, "short")
        assert scene.camera.motion == "still" or "camera orbits" not in short
        assert scene.objects[0].color in short and len(short) < len(caption)


def test_paraphrases_differ(drawn):
    scene = drawn["train"][0]
    assert len({captions.describe(scene, "full", random.Random(i)) for i in range(20)}) > 10


# what can be seen


def test_what_the_caption_names_can_be_seen(drawn):
    for scene in drawn["train"][:40] + drawn["heldout"][:40]:
        seen = truth(scene, samples=1).visible
        enough = (seen >= 60).mean(0)
        for thing, share in zip(scene.objects, enough, strict=True):
            assert share > (0.1 if thing.motion == "passes behind" else 0.25), scene.caption


def test_what_passes_behind_is_seen_before_and_hidden_for_a_while():
    ball = Thing("sphere", "red", "small", "passes behind", partner=1)
    scene = Scene((ball, Thing("cube", "blue", "large", "still")))
    seen = truth(scene, frames=17, height=64, width=64).visible[:, 0]
    assert seen[0] > 60 and seen.min() < 5 and seen[-1] > 20


def test_objects_keep_their_distance(drawn):
    for scene in [s for s in drawn["train"] if len(s.objects) > 1][:10]:
        centers = np.stack([path(scene, k, rate=60)[1] for k in range(len(scene.objects))])
        for i in range(1, len(centers)):
            for j in range(i):
                gap = np.linalg.norm((centers[i] - centers[j])[:, ::2], axis=1).min()
                assert gap > 0.9 * (scene.objects[i].radius + scene.objects[j].radius)


# physics


def test_gravity_is_the_second_difference_of_a_fall():
    scene = alone("falls", height=1.6)
    t, centers, _, _ = path(scene)
    y = centers[:, 1]
    flying = (t > 0.35) & (y > scene.objects[0].rest + 0.1)
    second = np.diff(y, 2)[flying[2:] & flying[:-2]] * 1000**2
    np.testing.assert_allclose(second, -motion.GRAVITY, rtol=1e-3)
    assert y[-1] == scene.objects[0].rest and y.min() >= scene.objects[0].rest


def test_each_bounce_is_lower_by_the_square_of_what_speed_is_kept():
    scene = alone("bounces", height=1.8)
    _, centers, _, _ = path(scene, seconds=6)
    y = centers[:, 1] - scene.objects[0].rest
    tops = y[1:-1][(y[1:-1] >= y[:-2]) & (y[1:-1] > y[2:])]
    heights = np.concatenate([[1.8], tops])[:4]
    np.testing.assert_allclose(heights[1:] / heights[:-1], motion.BOUNCE**2, rtol=1e-2)


@pytest.mark.parametrize("motion", ["rolls towards", "rolls away", "trail"])
@pytest.mark.parametrize("way", [-1, 1])
@pytest.mark.parametrize("shape", ["sphere", "cylinder"])
def test_rolling_does_not_slip(motion, way, shape):
    """The velocity of the point that touches the ground is zero: v = ω × r."""
    scene = alone(motion, shape, way=way)
    _, centers, turns, _ = path(scene, seconds=2.5)
    velocity = np.diff(centers, axis=0)[:, None]
    touching = np.array([0, -scene.objects[0].rest, 0])
    local = turns[:-1].swapaxes(1, 2) @ touching  # the material point on the ground
    moved = np.einsum("tij,tj->ti", turns[1:], local) - touching
    slip = np.abs(velocity[:, 0] + moved)[:, ::2].max()
    assert slip < 1e-2 * np.abs(velocity).max()


def test_a_rolling_angle_times_the_radius_is_the_path():
    scene = alone("rolls towards", "sphere")
    _, centers, turns, _ = path(scene, seconds=3)
    step = turns[1:] @ turns[:-1].swapaxes(1, 2)
    angle = np.arccos(np.clip((np.trace(step, axis1=1, axis2=2) - 1) / 2, -1, 1)).sum()
    went = centers[-1, 2] - centers[0, 2]
    assert went > 2
    assert abs(angle * scene.objects[0].radius / went - 1) < 1e-2


@pytest.mark.parametrize(
    "motion, way, axis, sign",
    [
        ("slides left", 1, 0, -1),
        ("slides right", -1, 0, 1),
        ("rolls towards", -1, 2, 1),
        ("rolls away", 1, 2, -1),
        ("trail", -1, 0, -1),
        ("trail", 1, 0, 1),
        ("falls", 1, 1, -1),
    ],
)
def test_things_go_where_the_caption_says(motion, way, axis, sign):
    _, centers, _, _ = path(alone(motion, way=way))
    assert (centers[-1] - centers[0])[axis] * sign > 1
    image = truth(alone(motion, way=way), frames=17, samples=1)
    if axis == 0:
        assert (image.image[-1] - image.image[0])[0, 0] * sign > 10
    if axis == 2:
        assert (image.depth[-1] - image.depth[0])[0] * sign < -1


def test_a_circling_object_keeps_its_distance_to_its_partner():
    ring = Thing("ring", "red", "small", "circles", partner=1)
    scene = Scene((ring, Thing("cube", "blue", "large", "still", x=0.3, z=-0.2)))
    _, centers, _, _ = path(scene)
    reach = np.linalg.norm(centers[:, ::2] - [0.3, -0.2], axis=1)
    np.testing.assert_allclose(reach, reach[0])
    assert reach[0] > 0.55 + 0.85


@pytest.mark.parametrize("shape", scenes.SHAPES)
def test_what_rests_touches_the_ground(shape):
    """The lowest point of a resting solid, found with a ray from below, is the ground."""
    thing = Thing(shape, "red", "large", "still")
    x = torch.linspace(-0.7, 0.7, 201)[:, None] * torch.ones(1, 9) * thing.radius
    z = torch.linspace(-0.2, 0.2, 9)[None] * torch.ones(201, 1) * thing.radius
    o = [x, torch.full_like(x, -5.0), z]
    distance = shapes.hit(shape, o, [torch.tensor(v) for v in (0.0, 1.0, 0.0)], thing.radius)
    assert distance.min() - 5 + thing.rest == pytest.approx(0, abs=5e-3)


# cameras


@pytest.mark.parametrize("motion", ["orbits left", "orbits right"])
def test_an_orbit_keeps_its_distance_and_goes_the_right_way(motion):
    shot = film.shoot(alone(camera=motion), 17)
    reach = np.linalg.norm(shot.eye[:, ::2], axis=1)
    np.testing.assert_allclose(reach, reach[0])
    step = np.einsum("ti,ti->t", np.diff(shot.eye, axis=0), shot.axes[:-1, 0])  # to its own right
    assert (step * (-1 if motion == "orbits left" else 1) > 0.1).all()


def test_zooms_and_rises():
    eyes = {m: film.shoot(alone(camera=m), 17).eye for m in scenes.CAMERAS}
    for move, sign in (("zooms in", -1), ("zooms out", 1)):
        assert (np.diff(np.linalg.norm(eyes[move], axis=1)) * sign > 0).all()
    assert (np.diff(eyes["rises"][:, 1]) > 0).all()
    assert (np.diff(eyes["still"], axis=0) == 0).all()


@pytest.mark.parametrize("motion", scenes.CAMERAS)
def test_axes_are_orthonormal_and_the_camera_is_level(motion):
    shot = film.shoot(alone(camera=motion), 9)
    np.testing.assert_allclose(
        shot.axes @ shot.axes.swapaxes(1, 2), np.eye(3) + 0 * shot.axes, atol=1e-9
    )
    np.testing.assert_allclose(shot.axes[:, 0, 1], 0, atol=1e-9)  # what the tracer counts on
    np.testing.assert_allclose(
        np.cross(shot.axes[:, 0], shot.axes[:, 1]), -shot.axes[:, 2], atol=1e-9
    )


# pictures and the truth


def seen_alone(scene: Scene, height: int, width: int, frames: int = 9) -> np.ndarray:
    """Return the share of each pixel that the first object covers, by the tracer's own mask."""
    tracer = world_tracer(scene, frames, height, width)
    _, which = tracer.nearest()
    return (which.view(frames, height, 4, width, 4) == 0).float().mean((2, 4)).numpy()


def world_tracer(scene, frames, height, width, samples=4):
    from minisora.world.render import Tracer

    return Tracer(film.shoot(scene, frames), height, width, samples)


@pytest.mark.parametrize("camera", scenes.CAMERAS)
def test_centres_project_to_where_the_pixels_are(camera):
    scene = alone("still", "sphere", camera, x=0.3, z=0.2, size="small")
    height, width = 48, 72
    mask = seen_alone(scene, height, width)
    expected = truth(scene, frames=9, height=height, width=width).image[:, 0]
    weight = mask.sum((1, 2))
    columns = (mask.sum(1) * (np.arange(width) + 0.5)).sum(1) / weight
    rows = (mask.sum(2) * (np.arange(height) + 0.5)).sum(1) / weight
    np.testing.assert_allclose(np.stack([columns, rows], 1), expected, atol=0.4)


def test_the_mask_is_where_the_picture_shows_the_colour():
    scene = replace(alone("slides right", "sphere"), ground="snow", sky="fog")
    mask = seen_alone(scene, 64, 64)
    frames = render(scene, frames=9, height=64, width=64).frames.astype(int)
    reddish = frames[..., 0] - frames[..., 1] > 40  # neither snow, fog nor the pale stripe is red
    assert reddish.sum() > 1000
    assert (mask[reddish] > 0.2).all()
    assert reddish[mask == 1].mean() > 0.6


def test_the_nearer_object_hides_the_farther_one():
    near = Thing("sphere", "red", "large", "still", z=1.5)
    far = Thing("cube", "blue", "large", "still", z=-1.5)
    both = Scene((near, far))
    for order in (both, Scene((far, near))):
        t = truth(order, frames=1)
        n, f = (0, 1) if order is both else (1, 0)
        assert t.depth[0, n] < t.depth[0, f]
        assert t.visible[0, n] == pytest.approx(truth(Scene((near,)), frames=1).visible[0, 0])
        assert t.visible[0, f] < truth(Scene((far,)), frames=1).visible[0, 0] - 50
    swapped = render(Scene((far, near)), frames=1).frames
    assert np.array_equal(render(both, frames=1).frames, swapped)


def test_a_bite_stays():
    scene = alone("bitten", "cube")
    t, _, _, bite = path(scene)
    assert bite[0] == 0 and (np.diff(bite) >= 0).all() and bite[-1] > 0.5 * scene.objects[0].radius
    seen = truth(scene, frames=17).visible[:, 0]
    frames = render(scene, frames=33).frames.astype(int)
    assert seen[-1] < seen[0]
    assert (np.abs(frames[-1] - frames[0]).max(-1) > 30).sum() > 60
    assert np.array_equal(frames[-1], frames[16])


@pytest.mark.parametrize("shape", scenes.MOTIONS["bitten"])
@pytest.mark.parametrize("way", [-1, 1])
def test_a_bite_can_be_seen(shape, way):
    frames = render(alone("bitten", shape, way=way, turn=0.4), frames=17).frames.astype(int)
    changed = np.abs(frames - frames[0]).max(-1) > 20
    assert changed[-1].sum() > 30
    columns = np.nonzero(changed[-1])[1]
    assert (columns.mean() - 31.5) * way > 0  # on the side that it was bitten from


def test_a_trail_stays_painted_and_grows():
    scene = replace(alone("trail", "sphere", size="small"), ground="snow")
    frames = render(scene, frames=33).frames.astype(int)
    paint = frames[..., 0] - frames[..., 2] > 60
    wide = paint.any(1).sum(1)  # columns with paint or the object in them
    assert (np.diff(wide) >= -2).all() and wide[-1] > wide[0] + 15
    bare = render(replace(scene, objects=(replace(scene.objects[0], motion="still", x=3),)))
    assert not (bare.frames[-1].astype(int)[paint[-1]] @ [1, 0, -1] > 60).any()


@pytest.mark.parametrize("shape", scenes.SHAPES)
def test_spinning_can_be_seen(shape):
    frames = render(alone("spins", shape), frames=9).frames.astype(int)
    for later in frames[1:]:
        assert (np.abs(later - frames[0]).max(-1) > 25).sum() > 20


def test_shadows_fall_away_from_the_light_and_meet_what_rests():
    scene = alone("still", "cylinder")
    empty = replace(scene, objects=(replace(scene.objects[0], x=50.0),))
    frame, bare = (render(s, frames=1).frames[0].astype(int) for s in (scene, empty))
    mask = seen_alone(scene, 64, 64, 1)[0]
    shadow = ((bare - frame).sum(-1) > 60) & (mask == 0)
    rows, columns = np.nonzero(shadow)
    assert len(rows) > 25
    assert columns.mean() > np.nonzero(mask)[1].mean()  # by day the light comes from the left
    beside = np.zeros_like(shadow)
    beside[:, 1:] |= mask[:, :-1] > 0
    assert (shadow & beside).any()


def test_filming_larger_and_averaging_is_close(drawn):
    for scene in drawn["train"][:6]:
        scene = replace(scene, ground="sand")  # finer waves fade less in the larger picture
        small = render(scene, **SHORT, samples=4).frames.astype(float)
        large = render(scene, frames=5, height=128, width=128).frames.astype(float)
        mean = large.reshape(5, 64, 2, 64, 2, 3).mean((2, 4))
        assert np.abs(mean - small).mean() < 1.5


def test_distant_ground_does_not_flicker():
    """Of a moving camera's floor, the far half changes less from frame to frame than the near."""
    scene = Scene((Thing("cube", "red", "small", "still"),), Camera("orbits left"))
    frames = render(scene, frames=9).frames.astype(float)
    change = np.abs(np.diff(frames, axis=0)).mean((0, 2, 3))
    assert change[17:22].mean() < change[50:].mean()


# rays against a reference


def inside(shape, p, bite=0.0, bite_center=(0, 0, 0)):
    """Say which points p (... 3) lie in a shape of radius 1, from its definition alone."""
    x, y, z = np.moveaxis(p, -1, 0)
    across, length = np.hypot(x, z), np.hypot(x, y)
    solid = {
        "sphere": x * x + y * y + z * z < 1,
        "cube": np.abs(p).max(-1) < shapes.CUBE,
        "cylinder": (across < shapes.DRUM) & (np.abs(y) < shapes.DRUM_HEIGHT),
        "cone": (across < shapes.CONE * (1 - y) / 2) & (np.abs(y) < 1),
        "ring": (length < 1) & (length > shapes.HOLE) & (np.abs(z) < shapes.RING_DEPTH),
    }[shape]
    return solid & (((p - bite_center) ** 2).sum(-1) > bite**2)


WHOLE_AND_BITTEN = [(s, 0.0) for s in scenes.SHAPES] + [(s, 0.7) for s in scenes.MOTIONS["bitten"]]


@pytest.mark.parametrize(("shape", "bite"), WHOLE_AND_BITTEN)
def test_rays_meet_shapes_where_dense_sampling_does(shape, bite):
    rng = np.random.default_rng(0)
    o = rng.normal(size=(400, 3))
    o *= 3 / np.linalg.norm(o, axis=1, keepdims=True)
    d = rng.uniform(-1, 1, (400, 3)) - o
    center = (0.7, 0.4, 0.5)
    step = 0.002
    s = np.arange(0, 2, step)
    found = inside(shape, o[:, None] + s[:, None] * d[:, None], bite, center)
    expected = np.where(found.any(1), s[found.argmax(1)], np.inf)
    bites = torch.full((400,), bite) if bite else None
    rays = [[torch.tensor(a[:, i]) for i in range(3)] for a in (o, d)]
    got = shapes.hit(shape, *rays, 1.0, bites, center).numpy()
    same = np.isinf(expected) == np.isinf(got)
    assert same.mean() > 0.98  # a grazing ray may slip between two samples
    both = ~np.isinf(expected) & ~np.isinf(got)
    assert both.sum() > 50
    close = np.abs(expected[both] - got[both]) < 2 * step
    assert close.mean() > 0.97


@pytest.mark.parametrize("shape", scenes.SHAPES)
def test_normals_point_out_of_the_solid(shape):
    rng = np.random.default_rng(1)
    o = rng.normal(size=(300, 3))
    o *= 3 / np.linalg.norm(o, axis=1, keepdims=True)
    d = rng.uniform(-0.8, 0.8, (300, 3)) - o
    rays = [torch.tensor(a.T) for a in (o, d)]
    far = shapes.hit(shape, *rays, 1.0)
    p = (rays[0] + far * rays[1])[:, far < math.inf]
    n = shapes.normal(shape, p, 1.0)
    torch.testing.assert_close((n * n).sum(0), torch.ones_like(n[0]), atol=1e-6, rtol=0)
    out, back = (inside(shape, (p + e * n).T.numpy()) for e in (0.01, -0.01))
    assert (~out).mean() > 0.97 and back.mean() > 0.97


@pytest.mark.parametrize("camera", ["still", "orbits right", "zooms in", "rises"])
def test_windows_miss_nothing(drawn, camera, monkeypatch):
    """Looking everywhere finds the same pictures as looking in windows around the objects."""
    from minisora.world.render import Tracer

    some = [replace(s, camera=Camera(camera)) for s in drawn["train"][:4]]
    quick = [render(scene, 5, 40, 56).frames for scene in some]

    def whole(self, points):
        t = len(self.shot)
        rows = torch.arange(self.height)[None, :, None].expand(t, -1, -1)
        return rows.contiguous(), torch.arange(self.width).expand(t, 1, -1).contiguous()

    monkeypatch.setattr(Tracer, "window", whole)
    for scene, fast in zip(some, quick, strict=True):
        assert np.abs(render(scene, 5, 40, 56).frames.astype(int) - fast).max() <= 1


def test_the_camera_may_stand_beside_or_inside_things():
    scene = Scene(
        (Thing("cube", "red", "large", "still", z=6.6), Thing("ring", "blue", "small", "still"))
    )
    assert render(scene, **SHORT).frames.shape == (5, 64, 64, 3)


# errors


def test_errors_say_what_was_expected():
    with pytest.raises(ValueError, match="split 'test' is not 'train' or 'heldout'"):
        sample_scene(0, split="test")
    with pytest.raises(ValueError, match="1, 2 or 3 objects, not 4"):
        sample_scene(0, objects=4)
    with pytest.raises(ValueError, match="0 frames of 64x64"):
        render(alone(), frames=0)
    with pytest.raises(ValueError, match="all must be positive"):
        render(alone(), fps=0)
    with pytest.raises(ValueError, match="'long' is not one of short, medium, full"):
        world.describe(alone(), "long")
