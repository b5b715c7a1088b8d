"""Personalize in a real browser: photos in, samples while it learns, and a card to fetch, also when it is stopped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from blipdiff.conditioning.subject import SubjectEmbedding
from tests.browser.conftest import PATIENCE
from tests.support.learned import view

pytestmark = pytest.mark.browser


@pytest.fixture
def asked(open_page: Callable[..., Any], tmp_path: Path) -> Any:
    """The tab with two photos of a dog."""
    page = open_page()
    page.get_by_role("tab", name="Personalize").click()
    paths = [tmp_path / f"rex{number}.png" for number in range(2)]
    for number, path in enumerate(paths):
        view(number).save(path)
    page.locator("#personalize-photo input[type=file]").set_input_files(paths)
    page.locator("#personalize-photo").get_by_text("rex1").wait_for()
    category = page.locator("#personalize-category").locator("textarea, input").first
    category.fill("dog")
    category.blur()
    page.get_by_role("button", name="Learning").click()
    return page


def fetched(page: Any, place: Path) -> SubjectEmbedding:
    """The card that the page offers."""
    link = page.locator("#personalize-card a[download]").first
    link.wait_for()
    with page.expect_download() as download:
        link.click()
    download.value.save_as(place)
    return SubjectEmbedding.load(place)


def test_photos_become_samples_and_a_card(asked: Any, tmp_path: Path) -> None:
    steps = asked.locator("#personalize-steps input[type=number]").first
    steps.fill("4")
    steps.press("Enter")
    asked.locator("#personalize-draw").click()
    asked.locator("#personalize-status").get_by_text("2 pictures in").wait_for()
    expect(asked.locator("#personalize-gallery img")).not_to_have_count(0, timeout=PATIENCE)
    assert fetched(asked, tmp_path / "rex.safetensors").category == "dog"


def test_stopping_keeps_the_best_card_so_far(asked: Any, tmp_path: Path) -> None:
    steps = asked.locator("#personalize-steps input[type=number]").first
    steps.fill("2000")
    steps.press("Enter")
    asked.locator("#personalize-draw").click()
    asked.locator("#personalize-card a[download]").first.wait_for()  # the first that is better than none
    asked.locator("#personalize-cancel").click()
    asked.locator("#personalize-status").get_by_text("Cancelled").wait_for()
    assert fetched(asked, tmp_path / "rex.safetensors").category == "dog"
