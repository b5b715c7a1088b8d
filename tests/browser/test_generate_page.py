"""The page in a real browser: from a photo to pictures, and everything that may go otherwise."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.metadata import read_metadata
from pipelines.pictures import save_picture
from tests.browser.conftest import IN_SIGHT
from tests.support.studios import picture_of
from tests.support.tiny_models import PIXELS

pytestmark = pytest.mark.browser

PATIENCE = 60_000  # milliseconds
WIDTHS = "pictures => pictures.map(one => one.complete ? one.naturalWidth : -1)"  # 0 for what cannot be decoded
OVERFLOW = "document.documentElement.scrollWidth - window.innerWidth"
LATE_ENDS = """(() => {  // the network, in which the end of each stream of messages takes a second and a half
    const plain = window.fetch;
    window.fetch = async (...asked) => {
        const answer = await plain(...asked);
        if (!(asked[0].url ?? String(asked[0])).includes('/queue/data')) return answer;
        const late = new TransformStream({ async transform(bytes, controller) {
            const text = new TextDecoder().decode(bytes);
            const end = text.includes('close_stream') ? text.lastIndexOf('data:') : text.length;
            controller.enqueue(new TextEncoder().encode(text.slice(0, end)));
            if (end < text.length) await new Promise(resolve => setTimeout(resolve, 1500));
            controller.enqueue(new TextEncoder().encode(text.slice(end)));
        } });
        return new Response(answer.body.pipeThrough(late), answer);
    };
})()"""
UNNAMED = """() => [...document.querySelectorAll('input:not([type=file]), textarea, button, progress')]
    .filter(one => one.checkVisibility() && !one.closest('label')
        && !(one.getAttribute('aria-label') || one.getAttribute('title') || one.textContent.trim()))
    .map(one => one.outerHTML.slice(0, 120))"""


def fill(page: Any, name: str, value: object) -> None:
    """A field of the form of Create."""
    keep(page, f"field-{name}", value)


def keep(page: Any, element: str, value: object) -> None:
    """Typed, left, and seen to stay: a control that has just unfolded may still be set to its first value."""
    inputs = page.locator(f"#{element}").locator("textarea, input")
    for _ in range(PATIENCE // 200):
        inputs.first.fill(str(value))
        inputs.first.blur()
        page.wait_for_timeout(200)
        if {one.input_value() for one in inputs.all()} == {str(value)}:  # a slider has two
            return
    raise AssertionError(f"{element} does not keep {value}")


def value(page: Any, name: str) -> str:
    return str(page.locator(f"#field-{name}").locator("textarea, input").first.input_value())


def status(page: Any, text: str | re.Pattern[str]) -> None:
    page.locator("#status").get_by_text(text).wait_for()


def notice(page: Any, text: str) -> None:
    page.get_by_test_id("toast-body").filter(has_text=text).first.wait_for()


def widths(page: Any, count: int) -> list[int]:
    """Of the pictures in the gallery, once there are so many and all are fetched."""
    page.locator("#gallery").scroll_into_view_if_needed()
    found: list[int] = []
    for _ in range(PATIENCE // 200):
        found = page.locator("#gallery img").evaluate_all(WIDTHS)
        if len(found) == count and min(found) > 0:
            break
        page.wait_for_timeout(200)
    return found


def ask(page: Any, dog: Path, *, steps: int, count: int = 1) -> None:
    """The form filled in, and Generate pressed."""
    page.locator("#subject input[type=file]").set_input_files(dog)
    page.locator("#subjects img").wait_for()
    fill(page, "category", "dog")
    fill(page, "prompt", "on a beach")
    fill(page, "count", count)
    page.locator("#settings > button").click()
    fill(page, "steps", steps)
    page.locator("#generate").click()


WATCH_THE_RUN = """() => {
  window.seen = { preview: false, step: false };
  new MutationObserver(() => {
    seen.preview ||= Boolean(document.querySelector("#stage .previews img"));
    seen.step ||= /Step \\d+ of/.test(document.querySelector("#status")?.textContent ?? "");
  }).observe(document.body, { childList: true, subtree: true, characterData: true });
}"""  # a run can be over before a test that waits for it in turns looks again


def test_a_photo_and_a_prompt_become_pictures(
    open_page: Callable[..., Any], served: Any, dog: Path, tmp_path: Path
) -> None:
    page = open_page()
    page.evaluate(WATCH_THE_RUN)
    ask(page, dog, steps=40, count=2)
    status(page, "2 pictures in")
    assert page.evaluate("seen") == {"preview": True, "step": True}
    assert widths(page, 2) == [PIXELS, PIXELS]
    assert page.locator("#stage .previews").count() == 0
    seed = int(value(page, "seed"))
    assert [one.inner_text() for one in page.locator("#gallery .caption-label").all()] == [
        f"seed {seed}",
        f"seed {seed + 1}",
    ]
    page.locator("#gallery img").nth(1).click()
    page.get_by_text(f"The selected picture, seed {seed + 1}").wait_for()
    assert "on a beach" in page.locator("#metadata").inner_text()
    with page.expect_download() as download:
        page.locator("#download").click()
    download.value.save_as(tmp_path / "downloaded.png")
    made = read_metadata(tmp_path / "downloaded.png")
    asked = made["job"]["request"]
    assert (made["seed"], asked["steps"], asked["prompt"]) == (seed + 1, 40, "on a beach")
    assert served.kept(f"dog-{seed + 1}.png")[0].read_bytes() == (tmp_path / "downloaded.png").read_bytes()


def test_cancel_stops_within_a_step_and_the_next_run_starts(
    open_page: Callable[..., Any], served: Any, dog: Path
) -> None:
    page = open_page()
    before = len(served.calls)
    ask(page, dog, steps=600)
    status(page, re.compile(r"Step \d+ of"))
    page.locator("#cancel").click()
    status(page, "Cancelled after step")
    stopped = len(served.calls)
    time.sleep(0.5)
    assert 0 < stopped - before < 600
    assert len(served.calls) == stopped
    assert page.locator("#gallery img").count() == 0
    assert value(page, "prompt") == "on a beach"
    fill(page, "steps", 2)
    page.keyboard.press("Control+Enter")
    status(page, "1 picture in")


def test_a_bad_file_gives_a_notice_and_loses_nothing(open_page: Callable[..., Any], dog: Path, tmp_path: Path) -> None:
    page = open_page()
    fill(page, "prompt", "under water")
    fake = tmp_path / "notes.png"
    fake.write_text("no picture at all")
    page.locator("#subject input[type=file]").set_input_files([dog, fake])
    notice(page, "notes.png is not a picture")
    page.locator("#subjects img").wait_for()
    assert page.locator("#subjects img").count() == 1
    page.locator("#generate").click()
    notice(page, "The category is empty")
    status(page, "The category is empty")
    assert value(page, "prompt") == "under water"
    assert not page.get_by_text(str(tmp_path)).count()


def test_a_click_as_the_stream_of_messages_ends_is_not_lost(open_page: Callable[..., Any], dog: Path) -> None:
    """The end of a stream reaches the page late, as over a slow line; what was asked for meanwhile is answered."""
    page = open_page(before=LATE_ENDS)
    page.locator("#subject input[type=file]").set_input_files(dog)
    page.locator("#subjects img").wait_for()
    for button, answer in (("#cancel", "Nothing is being drawn"), ("#generate", "The category is empty")) * 3:
        page.locator(button).click()  # as soon as the last answer is there, and its stream about to end
        status(page, answer)


def test_a_picture_made_here_fills_the_form_and_draws_itself_again(
    open_page: Callable[..., Any], served: Any, tmp_path: Path
) -> None:
    made = picture_of(served.studio, prompt="in the snow", seed=2**60 + 1, guidance=4.5)
    save_picture(made, tmp_path / "made.png")
    page = open_page()
    page.locator("#refill > button").click()
    page.locator("#made-here input[type=file]").set_input_files(tmp_path / "made.png")
    status(page, "The form is as it was")
    page.locator("#subjects").get_by_text("card: dog").wait_for()
    page.locator("#settings > button").click()
    filled = {name: value(page, name) for name in ("category", "prompt", "count", "seed", "steps", "guidance")}
    assert filled == {
        "category": "dog",
        "prompt": "in the snow",
        "count": "1",
        "seed": str(2**60 + 1),
        "steps": "3",
        "guidance": "4.5",
    }
    assert not page.locator("#random-seed input").is_checked()
    page.locator("#generate").click()
    status(page, "1 picture in")
    again = Image.open(served.kept(f"dog-{2**60 + 1}.png")[0])
    assert again.tobytes() == made.image.tobytes()


def test_a_subject_card_is_kept_and_taken(
    open_page: Callable[..., Any], served: Any, dog: Path, tmp_path: Path
) -> None:
    page = open_page()
    page.locator("#subject input[type=file]").set_input_files(dog)
    fill(page, "category", "collie")
    page.locator("#cards > button").click()
    page.locator("#save-card").click()
    status(page, "Saved as")
    with page.expect_download() as download:
        page.locator("#card").click()
    download.value.save_as(tmp_path / "collie.safetensors")
    other = open_page()
    other.locator("#subject input[type=file]").set_input_files(tmp_path / "collie.safetensors")
    other.locator("#subjects").get_by_text("card: collie").wait_for()
    assert value(other, "category") == "collie"


def test_the_form_outlives_a_reload_and_old_values_that_no_longer_fit_are_left(open_page: Callable[..., Any]) -> None:
    page = open_page()
    fill(page, "category", "teapot")
    fill(page, "prompt", "on the moon")
    fill(page, "count", 2)
    page.wait_for_timeout(300)
    page.reload(wait_until="domcontentloaded")
    page.wait_for_function("document.querySelector('#field-prompt textarea')?.value === 'on the moon'")
    assert (value(page, "category"), value(page, "count")) == ("teapot", "2")
    restored = page.evaluate(
        "blipdiff.restored(['a', 'b', 'c', 'd'], {c: ['x']}, {a: 'new', b: 'text', c: 'y'}, ['old', 1, 'x', true])"
    )
    assert restored == ["new", 1, "x", True]


def test_a_phone_shows_everything_and_every_control_has_a_name(open_page: Callable[..., Any]) -> None:
    page = open_page(width=390, height=844)
    for part in ("settings", "refill", "cards"):
        page.locator(f"#{part} > button").click()
    page.locator("#field-batch").wait_for()
    page.get_by_text("Your pictures will be here.").wait_for()
    assert not page.locator("#details").is_visible()
    assert page.evaluate(OVERFLOW) <= 0
    assert page.locator("h1").all_inner_texts() == ["blipdiff"]
    assert page.evaluate(UNNAMED) == []
    page.locator("#examples button").first.click()
    page.locator("#subjects img").wait_for()
    assert value(page, "category") == page.locator("#examples button").first.inner_text().strip()
    for button in ("#generate", "#cancel"):
        assert page.locator(button).bounding_box()["y"] < 844
    fill(page, "prompt", "on a beach")
    page.locator("#generate").click()
    status(page, "pictures in")
    page.wait_for_function(IN_SIGHT, arg="#gallery img")
