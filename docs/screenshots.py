"""Draws the screenshots of the documentation: the page with real results of the bundled model, in headless Chromium.

python docs/screenshots.py [--only create dark] [--url http://127.0.0.1:7860/]

Without --url a page is started for it, with pictures and subjects in a folder of its own. Each shot is a function; what
it clicks is found by the ids and the tabs of the page. A shot that cannot be made is named, and the exit code is 1.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Error, sync_playwright

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "screens"
SUBJECTS = ROOT / "blipdiff" / "assets" / "subjects"
LARGEST, ALL = 150_000, 2_000_000  # bytes, of one shot and of all of them
PATIENCE = 60_000  # milliseconds
FLAGS = ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb", "--hide-scrollbars"]
DONE = "one => /\\d+ pictures? (in|of)|Saved|已/.test(one.textContent)"
SHRUNK = """() => document.querySelectorAll('.toast-wrap, [data-testid=toast-body]').forEach(one => one.remove())"""


@dataclass(frozen=True, slots=True)
class Shot:
    """How one shot is taken."""

    act: Callable[[Any], None]
    width: int = 1280
    height: int = 900
    dark: bool = False
    locale: str = "en-US"


def tab(page: Any, *names: str) -> None:
    """Opens the first tab of these names that there is."""
    for name in names:
        found = page.get_by_role("tab", name=name, exact=True)
        if found.count():
            found.first.click()
            return
    raise LookupError(f"no tab is called {' or '.join(names)}")


def fill(page: Any, control: str, value: str) -> None:
    """Types into a control, and sees it stay."""
    field = page.locator(f"#{control}").locator("textarea, input").first
    for _ in range(50):
        field.fill(value)
        field.blur()
        page.wait_for_timeout(200)
        if field.input_value() == value:
            return
    raise LookupError(f"{control} does not keep {value}")


def upload(page: Any, control: str, *names: str) -> None:
    """Gives a photo field bundled subjects, and waits until they are shown."""
    field = page.locator(f"#{control}")
    field.locator("input[type=file]").first.set_input_files([SUBJECTS / f"{name}.png" for name in names])
    field.locator("img").first.or_(field.locator("[aria-label]").first).first.wait_for()
    page.wait_for_timeout(1500)


def drawn(page: Any, status: str) -> None:
    """Waits for a run's end, and for its pictures."""
    page.wait_for_function(f"() => ({DONE})(document.querySelector('#{status}') ?? document.body)")
    page.wait_for_timeout(1500)


def create(page: Any) -> None:
    """A subject on a beach."""
    upload(page, "subject", "balloon")
    fill(page, "field-category", "balloon")
    fill(page, "field-prompt", "on a beach")
    page.locator("#generate").click()
    drawn(page, "status")


def stylize(page: Any) -> None:
    """An umbrella's look in a tractor's structure."""
    tab(page, "Restyle")
    upload(page, "stylize-subject", "umbrella")
    upload(page, "stylize-structure", "tractor")
    fill(page, "stylize-category", "umbrella")
    fill(page, "stylize-target", "tractor")
    page.locator("#stylize-draw").click()
    drawn(page, "stylize-status")


def edit(page: Any) -> None:
    """Popcorn that becomes a padlock."""
    tab(page, "Edit")
    scene = next(iter(sorted(Path(page.folder).glob("popcorn-*.png"))))
    page.locator("#edit-photo input[type=file]").first.set_input_files(scene)
    page.locator("#edit-photo img").first.wait_for()
    page.locator("#edit-sentence textarea").fill("a popcorn on a beach")
    word = page.locator("#edit-words label").filter(has_text="popcorn")
    word.wait_for()
    word.locator("input").check()
    fill(page, "edit-instead", "padlock")
    upload(page, "edit-subject", "padlock")
    page.locator("#edit-draw").click()
    drawn(page, "edit-status")


def blend(page: Any) -> None:
    """A path between two subjects."""
    tab(page, "Blend")
    page.locator("#blend-path").click()
    drawn(page, "blend-status")


def scene(page: Any) -> None:
    """Two subjects, each in its region."""
    tab(page, "Scene")
    page.locator("#scene-draw").click()
    drawn(page, "scene-status")


def attend(page: Any) -> None:
    """Where the words are seen."""
    tab(page, "Attention")
    upload(page, "attend-subject", "padlock")
    fill(page, "attend-category", "padlock")
    fill(page, "attend-prompt", "on a grass field")
    page.locator("#attend-draw").click()
    drawn(page, "attend-status")


def subjects(page: Any) -> None:
    """The library with a subject that was just added."""
    tab(page, "Subjects")
    upload(page, "library-subject", "tractor")
    fill(page, "library-category", "tractor")
    fill(page, "library-name", "My tractor")
    page.locator("#library-save").click()
    page.get_by_text("Saved as 'My tractor'.").first.wait_for()
    page.wait_for_timeout(1500)


def history(page: Any) -> None:
    """What has been drawn."""
    create(page)
    tab(page, "History")
    page.locator(".tiles li img").nth(3).wait_for()
    page.wait_for_timeout(2500)


def only_tab(*names: str) -> Callable[[Any], None]:
    """A tab as it opens."""

    def act(page: Any) -> None:
        tab(page, *names)
        page.wait_for_timeout(2500)

    return act


SHOTS = {
    "create": Shot(create),
    "stylize": Shot(stylize),
    "edit": Shot(edit, height=1200),
    "blend": Shot(blend, height=1000),
    "scene": Shot(scene, height=1100),
    "attend": Shot(attend, height=1000),
    "subjects": Shot(subjects),
    "history": Shot(history),
    "settings": Shot(only_tab("Settings")),
    "dark": Shot(create, dark=True),
    "phone": Shot(create, width=390, height=844),
    "chinese": Shot(create, locale="zh-CN"),  # takes a font with Chinese letters, such as fonts-wqy-zenhei
}


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A page of its own on the bundled model."""
    places = {"BLIPDIFF_OUTPUT": "outputs", "BLIPDIFF_HISTORY": "history", "BLIPDIFF_LIBRARY": "subjects"}
    environment = os.environ | places | {"PYTHONPATH": str(ROOT)}
    asked = [sys.executable, "-m", "app", "ui", "--port", "7979"]
    running = subprocess.Popen(asked, cwd=folder, env=environment)
    url = "http://127.0.0.1:7979/"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        yield url
    finally:
        running.terminate()
        running.wait(60)


def draw_scene(folder: Path) -> None:
    """The picture that is edited: drawn by the command line."""
    asked = [
        sys.executable,
        "-m",
        "app",
        "generate",
        "--subject",
        str(SUBJECTS / "popcorn.png"),
        "--category",
        "popcorn",
    ]
    asked += ["--prompt", "on a beach", "--count", "1", "--seed", "7", "--output", str(folder)]
    subprocess.run(asked, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def taken(browser: Browser, url: str, folder: Path, shot: Shot) -> Image.Image:
    """One shot."""
    scheme = "dark" if shot.dark else "light"
    context = browser.new_context(
        viewport={"width": shot.width, "height": shot.height}, color_scheme=scheme, locale=shot.locale
    )
    page: Any = context.new_page()
    page.folder = folder
    page.set_default_timeout(PATIENCE)
    try:
        page.goto(f"{url}?__theme={scheme}", wait_until="domcontentloaded")
        page.locator("#generate").wait_for()
        page.wait_for_timeout(2000)
        shot.act(page)
        page.evaluate(SHRUNK)
        page.evaluate("scrollTo(0, 0)")
        return Image.open(BytesIO(page.screenshot()))
    except (Error, LookupError, StopIteration):
        page.screenshot(path=folder / "failed.png", full_page=True)
        raise
    finally:
        context.close()


def save(picture: Image.Image, path: Path) -> int:
    """Writes as few colours as it takes to stay small; the size in bytes."""
    for colours in (256, 128, 64, 32):
        picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= LARGEST:
            break
    return path.stat().st_size


def main() -> int:
    """Takes all shots, or those that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=sorted(SHOTS), default=list(SHOTS))
    parser.add_argument("--url", help="a page that runs already")
    asked = parser.parse_args()
    OUTPUT.mkdir(exist_ok=True)
    failed = []
    with tempfile.TemporaryDirectory(prefix="blipdiff-") as name, sync_playwright() as play:
        folder = Path(name)
        draw_scene(folder)
        path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
        browser = play.chromium.launch(executable_path=path, args=FLAGS)
        with served(folder) if asked.url is None else _already(asked.url) as url:
            for shot in asked.only:
                try:
                    size = save(taken(browser, url, folder, SHOTS[shot]), OUTPUT / f"{shot}.png")
                    print(f"{shot}: {size / 1000:.0f} kB", flush=True)
                except (Error, LookupError, StopIteration) as error:
                    failed.append(shot)
                    print(f"{shot}: {str(error).splitlines()[0]}", flush=True)
                    shutil.copy(folder / "failed.png", Path(tempfile.gettempdir()) / f"failed-{shot}.png")
        browser.close()
    total = sum(path.stat().st_size for path in OUTPUT.glob("*.png"))
    print(f"{total / 1000:.0f} kB in all, at most {ALL / 1000:.0f}")
    return int(bool(failed) or total > ALL)


@contextmanager
def _already(url: str) -> Iterator[str]:
    yield url


if __name__ == "__main__":
    sys.exit(main())
