"""Images and videos as prompts: which frames are given, which are noise.

Every latent frame has a diffusion time τ of its own. A given frame stands at τ = 0 from the first
step to the last; the others walk from noise to data beside it and see it all the while. Whoever can
`fill` such gaps can do all that Sora's report shows under "Prompting with images and videos",
because each of these is only another row of given (■) and noise (□):

    animate ■□□□□    extend ■■□□□ or □□□■■    connect ■■□□■■    loop: connect a clip with itself

One mechanism in place of seven models (as in Diffusion Forcing, Chen et al. 2024, arXiv
2407.01392). Editing is a row of □ that does not begin at pure noise.

The functions that take a `Sora` first are its methods. Each checks its prompts (`Sora.vet`, whose
`policy.Refused` is a ValueError), takes files, `Video`s or arrays, fits them (see `inputs.bring`),
and returns a `Video` whose provenance names operation and inputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minisora.captioner import read
from minisora.codecs import DEFAULT_FPS
from minisora.expand import readings, retell
from minisora.gaps import GROUP, KEPT, WINDOW, chosen, fill_frames, head, lay, tail
from minisora.inputs import LONGEST, Source, bring
from minisora.sampler import draw_seed
from minisora.text import split
from minisora.video import Video, frames_to_tensor

if TYPE_CHECKING:
    from minisora.sora import Sora

MOST_FRAMES = 4801  # ten minutes
SPAN = 1 + GROUP * (WINDOW - 1)  # frames made at once
DEFAULTS = dict(steps=10, guidance=3.0, solver="adams", negative=None)  # and expand=False


# ---- the methods of `Sora` ----


def animate(sora: Sora, image: Source, prompt: str, *, frames: int = 17, **options) -> Video:
    """Make a picture move; it is the first frame.

    Args:
        sora: the model.
        image: the picture; of a clip, its first frame.
        prompt: what is to be seen and happen.
        frames: 5, 9, 13, 17 …; 8 of them are a second.
        options: width and height (else the picture's own or one near its shape); and of
            `generate`: steps, guidance, solver, negative, seed, expand, on_step.

    Raises:
        ValueError: the picture cannot be read, or a size or option does not fit.
    """
    (clip,) = take(sora, [image], options, most=1)
    sora.check_size(clip.width, clip.height, frames, at_once=SPAN)
    if not 1 < frames <= MOST_FRAMES:
        raise ValueError(f"an animation has 5 to {MOST_FRAMES} frames, not {frames}; try 17")
    row = lay(clip.frames, frames - 1)
    return finish(sora, "animate", [clip], row, prompt, options, frames=frames)


def extend(
    sora: Sora, video: Source, prompt: str, direction="forward", frames: int = 16, **options
) -> Video:
    """Continue a clip, or make what led to it; the clip is part of what is returned.

    Args:
        sora: the model.
        video: at least five frames.
        prompt: what is to be seen and happen.
        direction: "forward", or "backward" for new frames before the first.
        frames: how many to add, a multiple of 4.
        options: as in `animate`.

    Raises:
        ValueError: the clip cannot be read or is too short, or an option does not fit.
    """
    if direction not in ("forward", "backward"):
        raise ValueError(f"direction {direction!r} is not 'forward' or 'backward'")
    check_new(frames)
    (clip,) = take(sora, [video], options, least=5)
    old, about = clip.frames, dict(direction=direction, frames=frames)
    if direction == "forward":
        kept = tail(old)
        row, join = lay(kept, frames), lambda made: [old[: len(old) - len(kept)], made]
    else:  # one more than asked for: a video's first latent frame stands for one frame
        kept = head(old)
        row, join = lay(1 + frames, kept), lambda made: [made[1:], old[len(kept) :]]
    return finish(sora, "extend", [clip], row, prompt, options, join, **about)


def connect(sora: Sora, a: Source, b: Source, prompt: str, frames: int = 12, **options) -> Video:
    """Make what leads from the end of one clip to the beginning of another.

    Args:
        sora: the model.
        a, b: clips of one size, or pictures (the second is held for half a second).
        prompt: what is to be seen and happen.
        frames: how many between them, a multiple of 4; up to 12 are made at once and see both.
        options: as in `animate`.

    Raises:
        ValueError: a clip cannot be read, they differ in size, or an option does not fit.
    """
    check_new(frames)
    clips = take(sora, [a, b], options)
    one, two = (clip.frames for clip in clips)
    end, start = tail(one), head(two)

    def join(made: np.ndarray) -> list[np.ndarray]:
        return [one[: len(one) - len(end)], made, two[len(start) :]]

    row = lay(end, frames, start)
    return finish(sora, "connect", clips, row, prompt, options, join, frames=frames)


def loop(sora: Sora, video: Source, prompt: str, frames: int = 12, **options) -> Video:
    """Make a clip go round: what leads from its end back to its start is added behind it.

    Args:
        sora: the model.
        video: at least five frames.
        prompt: what is to be seen and happen.
        frames: how many to add, a multiple of 4; up to 12 are made at once and see both ends.
        options: as in `animate`.

    Raises:
        ValueError: the clip cannot be read or is too short, or an option does not fit.
    """
    check_new(frames)
    (clip,) = take(sora, [video], options, least=5)
    start = head(clip.frames, min(KEPT, len(clip) // 2))
    end = tail(clip.frames[len(start) :])
    middle = clip.frames[len(start) : len(clip) - len(end)]
    row, cut = lay(end, frames, start), len(end) + frames

    def join(made: np.ndarray) -> list[np.ndarray]:
        return [made[cut:], middle, made[:cut]]

    return finish(sora, "loop", [clip], row, prompt, options, join, frames=frames)


def fill(sora: Sora, video: Source, given, prompt: str, **options) -> Video:
    """Make the frames of a clip that are not given: the general form of the others.

    Args:
        sora: the model.
        video: `t` = 1+4k frames; anything where not given.
        given: bool `t`, or such as "0-8,13-16"; in whole groups, frame 0, 1 to 4, 5 to 8 and so on.
        prompt: what is to be seen and happen.
        options: as in `animate`.

    Raises:
        ValueError: the clip cannot be read, or `given` or an option does not fit.
    """
    (clip,) = take(sora, [video], options)
    sora.check_size(clip.width, clip.height, len(clip), at_once=SPAN)
    mask = np.asarray(chosen(given, len(clip)) if isinstance(given, str) else given)
    if mask.shape != (len(clip),) or mask.dtype != bool:
        wanted = f"one True or False for each of the {len(clip)} frames"
        raise ValueError(f"given is {wanted}, not {mask.dtype} of shape {mask.shape}")
    if mask.all():
        raise ValueError("all frames are given: nothing is left to make")
    for first in range(1, len(clip), GROUP):
        group = mask[first : first + GROUP]
        if group.any() and not group.all():
            told = f"frames {first} to {first + GROUP - 1} are one latent frame"
            raise ValueError(f"{told}: give all of them or none")
    about = dict(given="".join("□■"[there] for there in mask.tolist()))
    return finish(sora, "fill", [clip], (clip.frames, mask), prompt, options, **about)


def edit(sora: Sora, video: Source, prompt: str, strength: float = 0.6, **options) -> Video:
    """Change what a clip shows and keep how it moves: noise it part of the way and walk back.

    SDEdit (Meng et al. 2022, arXiv 2108.01073): at τ = strength details have drowned but not the
    layout, and the prompt decides what they become. It need name only what changes: it amends what
    the captioner says of the clip.

    Args:
        sora: the model.
        video: a clip or a picture.
        prompt: what is to be seen instead.
        strength: from 0, nothing changes, to 1, nothing is kept.
        options: as in `animate`; with expand=False the model reads the prompt alone.

    Raises:
        ValueError: the clip cannot be read, the prompt names nothing, or an option does not fit.
    """
    if not (isinstance(strength, int | float | np.number) and 0 <= strength <= 1):
        raise ValueError(f"strength is a number from 0 (nothing changes) to 1, not {strength!r}")
    (clip,) = take(sora, [video], options)
    if options.get("expand", True) is True:
        sora.vet(prompt)
        options["expand"] = retold(sora, clip.frames[None], [prompt])
    more = -(len(clip) - 1) % GROUP  # to fill the last group
    frames = np.concatenate([clip.frames, *[clip.frames[-1:]] * more])
    row = frames, np.full(len(frames), False)

    def join(made: np.ndarray) -> list[np.ndarray]:
        return [made[: len(clip)]]

    return finish(sora, "edit", [clip], row, prompt, options, join, strength=float(strength))


def retold(sora: Sora, frames: np.ndarray, prompts: list[str]) -> list[str]:
    """Say what clips `b t h w c` show, but for what a prompt for each of them names."""
    x = frames_to_tensor(frames[:, : min(SPAN, frames.shape[1] - (frames.shape[1] - 1) % GROUP)])
    try:
        captions = read(sora, x)
    except ValueError:  # there is no captioner for this VAE
        return readings(prompts, True, [0] * len(prompts), fill=False)
    return retell([caption.scene for caption in captions], prompts)


def long(sora: Sora, prompts: str | list[str], seconds: float = 60, **options) -> Video:
    """Make a video of a minute, or of up to ten, by rolling on.

    Several prompts are a storyboard: each has an equal share of the time, and as the frames before
    a change are given to those after it, the object that is in view goes on into the next shot.

    Args:
        sora: the model.
        prompts: what is to be seen and happen; one, or one for each shot.
        seconds: how long, up to 600.
        options: as in `animate`; width and height are 64 if left out.

    Raises:
        ValueError: there is no prompt, or a size, the time or an option does not fit.
    """
    shots = [prompts] if isinstance(prompts, str) else list(prompts)
    if not shots:
        raise ValueError("the list of prompts is empty: say what is to be seen")
    if not (isinstance(seconds, int | float | np.number) and 0.5 <= seconds <= 600):
        raise ValueError(f"seconds is a number from 0.5 to 600, not {seconds!r}")
    frames = 1 + GROUP * round(seconds * DEFAULT_FPS / GROUP)
    size = dict(width=options.pop("width", 64), height=options.pop("height", 64))
    sora.check_size(**size, frames=frames, at_once=SPAN)
    row = lay(np.zeros((0, size["height"], size["width"], 3), np.uint8), frames)
    size |= dict(shots=shots, seconds=float(seconds))
    return finish(sora, "long", [], row, shots, options, **size)


# ---- what they share ----


def take(sora: Sora, sources: list[Source], options: dict, least=1, most=LONGEST) -> list[Video]:
    """Read the inputs, fitted to `width` and `height`, which are taken out of the options.

    Raises:
        ValueError: an input cannot be read or is too short, or their sizes differ.
    """
    size = options.pop("width", None), options.pop("height", None)
    if (size[0] is None) != (size[1] is None):
        raise ValueError("width and height come together, or neither, to keep the input's shape")
    if size[0] is not None:
        sora.check_size(*size, SPAN)
    clips = [bring(source, None if size[0] is None else size, most) for source in sources]
    for clip in clips:
        sora.check_size(clip.width, clip.height, SPAN)
        if len(clip) < least:
            had = f"{clip.provenance['name']} has {len(clip)} of the {least} frames that are needed"
            raise ValueError(f"{had}; animate makes a clip from a picture")
    sizes = list(dict.fromkeys(f"{clip.width}x{clip.height}" for clip in clips))
    if len(sizes) > 1:
        raise ValueError(f"the clips differ in size, {' and '.join(sizes)}: give width and height")
    return clips


def check_new(frames: int) -> None:
    """Raise a ValueError unless so many frames can be added."""
    if not isinstance(frames, int | np.integer) or frames % GROUP or not 0 < frames < MOST_FRAMES:
        raise ValueError(f"new frames come in fours, from 4 to {MOST_FRAMES - 1}, not {frames!r}")


def finish(
    sora: Sora, operation: str, clips: list[Video], row, prompt, options: dict, join=None, **about
) -> Video:
    """Make what is missing in a row, join it with frames that it did not need, and say of what."""
    settings = {**DEFAULTS, **options}
    seed, on_step = draw_seed(settings.pop("seed", None)), settings.pop("on_step", None)
    shots, (frames, given) = prompt if isinstance(prompt, list) else [prompt], row
    for text in shots:
        split(text)  # what cannot be read is told before the work
    vetted = sora.vet(*shots, ". ".join(shots), negative=settings["negative"])
    # of a clip, no more is said than the user says: it shows the rest
    texts = readings(shots, settings.pop("expand", False), [seed] * len(shots), fill=not clips)
    sora.vet(*texts, ". ".join(texts))  # an expansion is a prompt too
    count, more = 1 + (len(frames) - 1) // GROUP, dict(on_step=on_step, **settings)
    begin, text = about.get("strength", 1.0), lambda i: [texts[i * len(shots) // count]]
    made = fill_frames(sora, frames[None], given, text, seed, begin, **more)[0]
    inputs = [clip.provenance for clip in clips]
    told = None if texts == shots else texts if isinstance(prompt, list) else texts[0]
    about = dict(operation=operation, inputs=inputs, expand=told, policy=vetted, **about)
    about = sora.provenance(" / ".join(shots), seed, about | settings)
    return Video(np.concatenate(join(made)) if join else made, DEFAULT_FPS, about)
