"""No click is lost and nothing typed is overwritten while the network is slow: every tab, answers late at random.

`pytest tests/browser/test_kept_clicks.py --slow-networks 50` tries fifty of them; one is tried without the option.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blipdiff.checkpoints.controls import save_control
from blipdiff.conditioning.subject import SubjectPhoto
from pipelines.metadata import read_metadata
from tests.browser.conftest import PATIENCE
from tests.support.tiny_models import photo, tiny_controlnet

pytestmark = pytest.mark.browser

SLOW_NETWORK = """(() => {  // what is sent, what is answered, each piece of a stream: late by up to 0.6 s
    let state = SEED;
    const random = () => {
        state = (state + 0x6D2B79F5) | 0;
        let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
        mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed);
        return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
    const late = () => new Promise(resolve => setTimeout(resolve, 600 * random()));
    const plain = window.fetch;
    window.fetch = async (...asked) => {
        const address = asked[0].url ?? String(asked[0]);
        if (!/queue|upload/.test(address)) return plain(...asked);
        await late();
        const answer = await plain(...asked);
        await late();
        if (!address.includes('/queue/data')) return answer;
        const held = new TransformStream({ async transform(bytes, controller) {
            await late();
            controller.enqueue(bytes);
        } });
        return new Response(answer.body.pipeThrough(held), answer);
    };
})()"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "network" in metafunc.fixturenames:
        metafunc.parametrize("network", range(metafunc.config.getoption("--slow-networks")))


@pytest.fixture
def slow_page(open_page: Callable[..., Any], network: int) -> Any:
    """A visit over a slow network."""
    return open_page(before=SLOW_NETWORK.replace("SEED", str(network)))


def field(page: Any, name: str) -> Any:
    return page.locator(f"#{name}").locator("textarea, input").first


def test_an_edit_is_asked_for_as_soon_as_its_parts_are_given(
    slow_page: Any, served: Any, dog: Path, tmp_path: Path, network: int
) -> None:
    page, name = slow_page, f"scene{network}"
    photo(3, (40, 24)).save(tmp_path / f"{name}.png")
    page.get_by_role("tab", name="Edit").click()
    page.locator("#edit-photo input[type=file]").set_input_files(tmp_path / f"{name}.png")
    field(page, "edit-sentence").fill("a dog on a")
    word = page.locator("#edit-words label").filter(has_text="dog").locator("input")
    word.wait_for()
    page.locator("#edit-draw").click()
    page.locator("#edit-status").get_by_text("Click on the words that").wait_for()
    field(page, "edit-sentence").fill("a dog on a beach")
    word.check()  # the words of the longer sentence may still be on their way
    field(page, "edit-instead").fill("tiger")
    page.locator("#edit-subject input[type=file]").set_input_files(dog)
    page.locator("#edit-draw").click()
    page.get_by_text(f"dog-to-tiger-{name}.png.").wait_for()
    page.locator("#edit-draw").click()  # while the last run's end may still be on its way
    page.locator("#edit-gallery img").nth(1).wait_for()
    assert word.is_checked()
    job = read_metadata(served.kept(f"dog-to-tiger-{name}.png")[0])["job"]
    asked = job["request"]
    assert (asked["source"], asked["target"], asked["prompt"]) == ("dog", "tiger", "on a beach")
    assert len(job["inputs"]["subject"]) == 1


def test_what_is_typed_while_a_card_is_looked_at_stays(slow_page: Any, served: Any, tmp_path: Path) -> None:
    card = served.studio.subject([SubjectPhoto(photo(3), "dog")]).save(tmp_path / "dog.safetensors")
    page = slow_page
    with page.expect_request(lambda one: "/queue/join" in one.url and card.name in (one.post_data or "")):
        page.locator("#subject input[type=file]").set_input_files(card)
    field(page, "field-category").fill("wolf")  # before the answer, which has the card's own word
    page.locator("#subjects").get_by_text("card: dog").wait_for()
    page.wait_for_timeout(200)
    assert field(page, "field-category").input_value() == "wolf"


def test_pictures_are_asked_for_while_the_photo_is_on_its_way(slow_page: Any, served: Any, dog: Path) -> None:
    from playwright.sync_api import expect

    page = slow_page
    field(page, "field-category").fill("dog")
    field(page, "field-count").fill("1")
    page.locator("#settings > button").click()
    field(page, "field-steps").fill("2")
    page.locator("#subject input[type=file]").set_input_files(dog)
    page.locator("#generate").click()
    for count in (1, 2, 3):
        expect(page.locator("#gallery .caption-label")).to_have_count(count, timeout=PATIENCE)
        page.locator("#status").get_by_text("1 picture in").wait_for()
        if count < 3:
            page.locator("#generate").click()
    for answer in ("Nothing is being drawn",) * 2:
        page.locator("#cancel").click()
        page.locator("#status").get_by_text(answer).wait_for()


def test_a_card_of_photos_is_asked_for_while_they_are_on_their_way(slow_page: Any, dog: Path, network: int) -> None:
    page = slow_page
    page.get_by_role("tab", name="Subjects").click()
    page.locator("#library-subject input[type=file]").set_input_files(dog)
    field(page, "library-category").fill("dog")
    field(page, "library-name").fill(f"fido {network}")
    page.locator("#library-save").click()
    page.get_by_text(f"Saved as 'fido {network}'").wait_for()
    page.locator("#library-cards").get_by_text(f"fido {network}").wait_for()


def test_a_structure_is_followed_as_soon_as_it_is_given(slow_page: Any, dog: Path, tmp_path: Path) -> None:
    save_control(tiny_controlnet(), tmp_path / "net")
    page = slow_page
    page.get_by_role("tab", name="Restyle").click()
    control = page.locator("#stylize-control input").first
    control.fill(str(tmp_path / "net"))
    control.press("Enter")
    field(page, "stylize-category").fill("dog")
    page.locator("#stylize-subject input[type=file]").set_input_files(dog)
    page.locator("#stylize-structure input[type=file]").set_input_files(dog)
    page.locator("#stylize-draw").click()
    page.locator("#stylize-status").get_by_text("1 picture in").wait_for()
