"""The notebooks in JupyterLab in a real browser: views react, the studio makes a video that plays.

Needs Chromium or Chrome (Debian: apt-get install chromium fonts-dejavu-core). Where there is none
it is skipped; where CI is set, as .ci/run does, it fails.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    sync_playwright = None

ROOT = Path(__file__).parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 180_000  # milliseconds that a busy machine may take for any one thing
SETTINGS = {  # cells off the screen stay in the page; nothing is asked of the network
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"checkForUpdates": False, "fetchNews": "false"},
}
RUN_ALL = """() => {
    window.ran = null;
    window.jupyterapp.commands.execute('notebook:run-all-cells').then(ok => { window.ran = ok; });
}"""
PLAYING = "video => video.readyState >= 3 && video.videoWidth > 0 && !video.paused"


def lacking(what):
    """Skip for want of something; in CI, where it was to be installed, fail."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no {what} here")


@pytest.fixture(scope="module")
def browser():
    sync_playwright or lacking("Playwright")
    path = next(filter(None, map(shutil.which, BROWSERS)), None) or lacking("Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, timeout=PATIENCE)
        yield browser
        browser.close()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def without_outputs(path):
    """Return a notebook as it is before its first run, so that all that is seen was just made."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    return notebook


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab over a copy of the notebooks, with nobody's settings; yields (address, token)."""
    home, token = tmp_path_factory.mktemp("lab"), secrets.token_hex()
    shutil.copytree(ROOT / "notebooks", home / "notebooks")
    for path in sorted((home / "notebooks").glob("*.ipynb")):
        write(path, without_outputs(path))
    for name, values in SETTINGS.items():
        folder = home / "config/lab/user-settings/@jupyterlab"
        write(folder / f"{name}.jupyterlab-settings", values)
    places = {f"JUPYTER_{kind.upper()}_DIR": home / kind for kind in ("config", "data", "runtime")}
    places |= {"IPYTHONDIR": home / "ipython", "MINISORA_PRESET": "smoke"}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.root_dir={home / 'notebooks'}", f"--IdentityProvider.token={token}"]
    command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={free_port()}"]
    command += ["--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"]
    environment = os.environ | {name: str(value) for name, value in places.items()}
    with open(home / "log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield address(server, home), token
    finally:
        server.terminate()  # it takes its kernels along
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()  # the kernels notice, and end themselves


def address(server, home):
    """Wait until the server listens; return where."""
    end = time.monotonic() + PATIENCE / 1000
    while server.poll() is None and time.monotonic() < end:
        for path in (home / "runtime").glob("jpserver-*.json"):
            try:
                return json.loads(path.read_text(encoding="utf-8"))["url"]
            except ValueError:  # half written
                pass
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab did not start:\n{(home / 'log').read_text()[-2000:]}")


@pytest.fixture
def open_and_run(browser, lab):
    """Open a notebook by its number, run all cells, return the page."""
    contexts = []

    def run(number):
        contexts.append(browser.new_context(viewport={"width": 1250, "height": 1100}))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        [path] = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
        page.goto(f"{lab[0]}lab/tree/{path.name}?token={lab[1]}&reset")
        page.get_by_text("| Idle").wait_for()  # before, running all cells would do nothing
        page.evaluate(RUN_ALL)
        page.wait_for_function("window.ran !== null")
        failed = page.locator(".jp-OutputArea-output[data-mime-type*='error']").all_inner_texts()
        assert page.evaluate("window.ran") and not failed, failed
        return page

    yield run
    for context in contexts:
        context.close()


def views(page):
    """Return what `widgets.explore` shows: sliders above a picture."""
    boxes = page.locator(".widget-vbox", has=page.locator(".widget-slider"))
    return boxes.filter(has=page.locator(".widget-html img"))


def move(view):
    """Move a view's first slider one step to the right; its picture changes."""
    picture, handle = view.locator(".widget-html img"), view.locator(".noUi-handle").first
    before, value = picture.get_attribute("src"), handle.get_attribute("aria-valuenow")
    handle.press("ArrowRight")
    expect(picture).not_to_have_attribute("src", before, timeout=PATIENCE)
    assert float(handle.get_attribute("aria-valuenow")) > float(value)


def assert_plays(page, video):
    page.wait_for_function(PLAYING, arg=video.element_handle())
    now = video.evaluate("video => video.currentTime")
    moved = "([video, then]) => video.currentTime != then"
    page.wait_for_function(moved, arg=[video.element_handle(), now])


def test_a_typed_prompt_becomes_a_video_that_plays(open_and_run):
    page = open_and_run("00")
    move(views(page).last)

    studio = page.locator(".studio")
    tiles = studio.locator(".studio-tile")
    assert tiles.count() == 1
    steps = studio.locator(".noUi-handle").first
    steps.press("Home")
    steps.press("ArrowRight")
    box, prompt = studio.locator("textarea"), "a small green ring rolls left on snow"
    first = box.input_value()
    box.fill("")
    box.press_sequentially(prompt)
    studio.get_by_role("button", name="Make").click()
    expect(studio).to_contain_text("made in", timeout=PATIENCE)
    expect(tiles).to_have_count(2, timeout=PATIENCE)
    expect(studio.locator(".studio-screen figcaption")).to_have_text(prompt, timeout=PATIENCE)
    assert_plays(page, studio.locator(".studio-screen video"))
    tiles.last.get_by_role("button", name="again").click()  # the oldest
    expect(box).to_have_value(first, timeout=PATIENCE)
    expect(studio.locator(".studio-screen figcaption")).to_have_text(first)


def test_a_slider_moves_a_picture_of_the_first_lesson(open_and_run):
    page = open_and_run("01")
    move(views(page).first)
