"""A page on a tiny model, headless Chromium, and a watch on what the browser asks for and complains of."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from diffusers import UNet2DConditionModel

from blipdiff.filenames import paths_now
from pipelines.studio import Studio
from tests.support.pages import served_page
from tests.support.tiny_models import photo, tiny_model

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE = 60_000  # milliseconds: these tests also run on busy machines
LEFT = "AbortError"  # what Gradio says of its open streams when a page is left
UNHEARD = """(() => {
  let isLeft = false; // by a reload: what was on its way ends, and Gradio complains of that
  addEventListener("beforeunload", () => { isLeft = true; });
  const plain = console.error;
  console.error = (...words) => isLeft || plain.apply(console, words);
})();"""
IN_SIGHT = """(selector) => {
  const found = (one) => [...document.querySelectorAll(one)].find((each) => each.checkVisibility());
  const [picture, bar] = [selector, ".actions"].map((one) => found(one)?.getBoundingClientRect());
  return picture && picture.top >= 0 && (picture.top + picture.bottom) / 2 < bar.top;
}"""  # without scrolling, and above the bar of a phone's buttons
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class Served:
    """The page's address, its studio, where its things lie, and how often its U-Net was called."""

    url: str
    studio: Studio
    folder: Path
    calls: list[int] = field(default_factory=list)

    def kept(self, name: str) -> list[Path]:
        """What the history keeps under a name, or names like it, while it writes others."""
        return sorted(paths_now(self.folder / "history" / "pictures", f"**/*-{name}"))


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    studio = Studio(tiny_model())
    folder = tmp_path_factory.mktemp("served")
    with served_page(studio, folder) as running:
        page = Served(running.page, studio, folder)
        unet: UNet2DConditionModel = studio.model.unet
        hook = unet.register_forward_hook(lambda *_: page.calls.append(1))
        yield page
        hook.remove()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as play:
        started = play.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def context(browser: Any) -> Any:
    """One for all visits: the page's scripts are fetched and compiled once."""
    return browser.new_context(accept_downloads=True)


@pytest.fixture
def open_page(served: Served, browser: Any, context: Any) -> Iterator[Callable[..., Any]]:
    """open_page(width=390): a new visit, with a script that runs `before` the page's own; locale: of another browser.

    At the end nothing may have been asked of another host, or complained of.
    """
    foreign: list[str] = []
    complaints: list[str] = []
    pages = []

    def visit(width: int = 1280, height: int = 900, before: str = "", locale: str = "") -> Any:
        page = browser.new_page(locale=locale) if locale else context.new_page()  # whose context is closed with it
        page.add_init_script(UNHEARD + before)
        pages.append(page)
        page.set_viewport_size({"width": width, "height": height})
        page.set_default_timeout(PATIENCE)
        own = (served.url, "data:", "blob:")
        page.on("request", lambda request: None if request.url.startswith(own) else foreign.append(request.url))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.on("response", lambda one: complaints.append(f"{one.status} {one.url}") if one.status >= 400 else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(served.url, wait_until="domcontentloaded")  # never "networkidle": Gradio keeps streams open
        page.locator("#generate").wait_for()
        return page

    yield visit
    for page in pages:
        if not page.is_closed():
            page.evaluate("localStorage.clear()")
            page.close()
    assert foreign == []
    assert [complaint for complaint in complaints if LEFT not in complaint] == []


@pytest.fixture
def dog(tmp_path: Path) -> Path:
    """A photo's file."""
    photo(0, (64, 48)).save(tmp_path / "dog.png")
    return tmp_path / "dog.png"
