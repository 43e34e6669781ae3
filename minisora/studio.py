"""The studio: a prompt box, a few knobs, a screen and a gallery, as widgets in a notebook.

Sampling runs in a thread of its own, so that everything can still be clicked; a lock lets only one
video be made at a time. All that it asks of the model is `Sora.generate`.
"""

from __future__ import annotations

import html
import random
import re
import threading
import time
import warnings
from pathlib import Path

import ipywidgets as w

from minisora.checkpoints import one_line
from minisora.codecs import DEFAULT_FPS
from minisora.sampler import SOLVERS, Step
from minisora.text import WORDS
from minisora.video import Video
from minisora.widgets import png
from minisora.world import sample_scene

EXAMPLES = (
    "a red sphere bounces on a checkered floor by day, the camera orbits left",
    "a large blue cube spins on grass at night",
    "a yellow cone falls and lands on sand at sunset",
    "a purple ring rolls right leaving a painted trail on snow",
)
SIZES = [(f"{a} × {b}", (a, b)) for a, b in ((64, 64), (80, 48), (48, 80), (96, 64))]
LENGTHS = [(f"{n / DEFAULT_FPS:.1f} s, {n} frames", n) for n in (5, 9, 17, 33)]
STYLE = """<style>
.studio {width: 920px; border: 1px solid var(--jp-border-color2); border-radius: 8px; padding: 16px}
.studio textarea {font: 15px var(--jp-ui-font-family)} .studio-words button {border-radius: 14px}
.studio-words, .studio-gallery {flex-flow: row wrap} .studio .widget-hprogress {height: 10px}
.studio-left {width: 312px; margin: 6px 16px 0 0} .studio-right {flex: 1; margin-top: 6px}
.studio-screen {height: 376px; justify-content: center; background: var(--jp-layout-color2)}
.studio-screen * {align-self: center} .studio-screen img {zoom: 4; image-rendering: pixelated}
.studio-screen video {zoom: 2; height: auto !important} .studio-tile {width: 146px}
.studio-tile video {height: 84px !important; display: block; margin: 0 auto 6px}
.studio figcaption, .studio td {font-size: 12px; line-height: 15px; padding: 4px 12px 0 0}
.studio-tile figcaption {height: 30px; overflow: hidden; padding: 0; text-align: center}
</style>"""


def button(text: str, do, icon: str = "", width: str = "auto", style: str = "") -> w.Button:
    """Return a button that calls `do()`."""
    layout = w.Layout(width=width)
    made = w.Button(description=text, icon=icon, layout=layout, button_style=style)
    made.on_click(lambda _: do())
    return made


class Studio(w.VBox):
    """Makes videos at the click of a button.

    Args:
        sora: the model, from `minisora.load()`.
        made: videos that are in the gallery from the start, oldest first.
        folder: where the save button puts files.
    """

    def __init__(self, sora, made=(), folder="."):
        self.sora, self.folder, self.made = sora, Path(folder), []
        self.lock, self.stopping = threading.Lock(), threading.Event()
        super().__init__(self.build())
        self.add_class("studio")
        for video in made:
            self.keep(video)
        self.busy(False)

    # ---- what it looks like ----

    def build(self) -> list[w.Widget]:
        """Return its rows of widgets."""
        self.prompt = w.Textarea(EXAMPLES[0], rows=2, layout=w.Layout(width="99.5%"))
        self.prompt.observe(self.read, "value")
        words = [button(x, lambda x=x: self.prompt.set_trait("value", x)) for x in EXAMPLES]
        words.append(button("surprise me", self.surprise, "magic"))
        self.note, self.line, self.about, self.playing = (w.HTML() for _ in range(4))
        self.note.layout.height = "24px"
        self.knobs = {
            "size": w.Dropdown(options=SIZES),
            "frames": w.Dropdown(options=LENGTHS, value=17, description="length"),
            "steps": w.IntSlider(10, 1, 60),
            "guidance": w.FloatSlider(3, min=1, max=10, step=0.5, readout_format=".1f"),
            "solver": w.Dropdown(options=[(name, name) for name in SOLVERS]),
            "expand": w.Checkbox(True, description="expand the prompt", indent=False),
            "seed": w.BoundedIntText(0, 0, 2**31 - 1, layout=w.Layout(width="256px")),
            "negative": w.Text(placeholder="what is not wanted", layout=w.Layout(width="270px")),
        }
        for name, knob in self.knobs.items():
            knob.description, knob.style.description_width = knob.description or name, "64px"
        *plain, seed, negative = self.knobs.values()
        dice = button("", lambda: seed.set_trait("value", random.randrange(9999)), "random")
        self.maker = button("Make", self.make, "play", "148px", "primary")
        self.stopper = button("Stop", self.stopping.set, "stop", "148px")
        self.retaker = button("Another take", self.another, "refresh", "148px")
        self.saver = button("Save mp4", lambda: self.attempt(self.save), "download", "148px")
        self.growing, self.bar = w.Image(), w.FloatProgress(max=1, layout=w.Layout(width="99%"))
        self.screen = w.VBox([self.playing]).add_class("studio-screen")
        folded = w.Accordion([negative, self.about], titles=["more", "provenance"])
        left = [*plain, w.HBox([seed, dice]), w.HBox([self.maker, self.stopper]), folded]
        left = w.VBox(left).add_class("studio-left")
        right = [self.screen, self.bar, self.line, w.HBox([self.retaker, self.saver])]
        right = w.VBox(right).add_class("studio-right")
        self.gallery = w.Box().add_class("studio-gallery")
        words = w.Box(words).add_class("studio-words")
        return [w.HTML(STYLE), self.prompt, words, self.note, w.HBox([left, right]), self.gallery]

    def say(self, text: str, wrong: bool = False) -> None:
        """Write the line below the screen."""
        color = "var(--jp-error-color1)" if wrong else "inherit"
        self.line.value = f'<span style="color: {color}">{html.escape(text)}</span>'

    def busy(self, working: bool) -> None:
        """Switch the buttons on or off."""
        self.maker.disabled, self.stopper.disabled = working, not working
        self.retaker.disabled = self.saver.disabled = working or not self.made

    def play(self, video: Video) -> None:
        """Put a video on the screen, and its origin below."""
        self.shown, self.playing.value = video, video._repr_html_()
        pairs = [map(html.escape, map(str, pair)) for pair in video.provenance.items()]
        rows = "".join(f"<tr><td>{'</td><td>'.join(pair)}</td></tr>" for pair in pairs)
        self.about.value = f"<table>{rows}</table>"

    def keep(self, video: Video) -> None:
        """Play a new video and put it into the gallery, which holds the last twelve."""
        self.play(video)
        self.made.append(video)
        again = button("again", lambda: self.bring_back(video))
        tile = w.VBox([w.HTML(self.playing.value), again]).add_class("studio-tile")
        self.gallery.children = (tile, *self.gallery.children)[:12]

    # ---- the prompt and the knobs ----

    def surprise(self) -> None:
        """Fill the prompt box with the caption of a random scene of the world."""
        self.prompt.value = sample_scene(random.randrange(10**6)).caption

    def read(self, _) -> None:
        """Say which words of the prompt the model has no token for."""
        words = re.findall(r"[^\W\d_]+", self.prompt.value.lower())
        odd = ", ".join(dict.fromkeys(word for word in words if word not in WORDS))
        self.note.value = f"<small>outside its {len(WORDS)} words: {odd}</small>" if odd else ""

    def settings(self) -> dict:
        """Return the arguments of `Sora.generate`."""
        values = {name: knob.value for name, knob in self.knobs.items()}
        values["width"], values["height"] = values.pop("size")
        values["negative"] = values["negative"].strip() or None
        return {"prompt": self.prompt.value, **values}

    def bring_back(self, video: Video) -> None:
        """Play a video again and set everything as it was made."""
        self.play(video)
        self.prompt.value = video.caption
        about = {"negative": "", **video.provenance, "size": (video.width, video.height)}
        about["expand"] = bool(about.get("expand"))
        for name, knob in self.knobs.items():
            value = about.get(name, knob.value)
            if isinstance(knob, w.Dropdown) and value not in dict(knob.options).values():
                knob.options = (*knob.options, (str(value), value))
            knob.value = value

    # ---- work ----

    def attempt(self, do) -> None:
        """Do something that may fail, and tell how it went in one line."""
        try:
            self.say(do())
        except Exception as error:  # in a thread nobody else would hear of it
            self.say(one_line(error), wrong=not isinstance(error, InterruptedError))

    def make(self) -> None:
        """Begin a video in the background, unless one is being made."""
        if self.lock.acquire(blocking=False):
            self.stopping.clear()
            self.busy(True)
            threading.Thread(target=self.work, args=[self.settings()], daemon=True).start()

    def work(self, settings: dict) -> None:
        """Make a video, then let others be made."""
        self.attempt(lambda: self.film(settings))
        self.screen.children = [self.playing]  # also where it was stopped: what is saved is seen
        self.busy(False)
        self.lock.release()

    def film(self, settings: dict) -> str:
        """Make a video; return what is to be said of it, warnings included."""
        self.began, self.bar.value = time.monotonic(), 0
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            self.keep(video := self.sora.generate(**settings, on_step=self.watch))
        done = [f"made in {time.monotonic() - self.began:.1f} seconds"]
        if video.provenance.get("expand"):
            done.append(f"read as: {video.provenance['expand']}")
        return "; ".join([*done, *(str(warning.message) for warning in told)])

    def watch(self, step: Step) -> None:
        """Show how far the sampler is and what it imagines: a frame a step, so that it plays."""
        if self.stopping.is_set():
            raise InterruptedError(f"stopped after {step.index} of {step.steps} steps")
        if (step.index - 1) % (step.steps // 8 + 1) == 0:  # decoding takes time too
            self.guess = self.sora.decode(step.guess)[0]
        self.growing.value = png(self.guess[(step.index - 1) % len(self.guess)])
        self.screen.children, self.bar.value = [self.growing], step.index / step.steps
        left = (time.monotonic() - self.began) * (step.steps / step.index - 1)
        self.say(f"step {step.index} of {step.steps}, {left:.0f} s left")

    def another(self) -> None:
        """Make the video on the screen once more, from the next seed."""
        self.bring_back(self.shown)
        self.knobs["seed"].value += 1
        self.make()

    def save(self) -> str:
        """Save the video on the screen under a name made from its prompt and the time."""
        name = re.sub(r"[^a-z0-9]+", "-", self.shown.caption.lower())[:60].strip("-")
        path = self.folder / f"{name or 'video'}-{time.strftime('%H%M%S')}.mp4"
        self.shown.save(path, scale=4)
        return f"saved as {path.resolve()}"
