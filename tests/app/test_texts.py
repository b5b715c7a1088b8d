"""The page's texts in the language of its visitor."""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import gradio as gr
import httpx
import pytest

from app.jobs.workshop import Machine, Workshop
from app.settings import LANGUAGE_COOKIE
from app.ui import texts
from app.ui.page import build_page
from app.ui.spoken import Page, language_of, told_by
from app.ui.texts import said, speaking
from tests.support.pages import settings_in
from tests.support.small_page import answer, opened


@pytest.mark.parametrize(
    ("headers", "usual", "language"),
    [
        ({}, "auto", "en"),
        ({"accept-language": "zh-CN,zh;q=0.9,en;q=0.8"}, "auto", "zh"),
        ({"accept-language": "en;q=0.4, zh-TW"}, "auto", "zh"),
        ({"accept-language": "de-DE, en-GB;q=0.7, zh;q=0.3"}, "auto", "en"),
        ({"accept-language": "de;q=high,,;q="}, "auto", "en"),
        ({"accept-language": "en"}, "zh", "zh"),
        ({"accept-language": "zh", "cookie": f"other=1; {LANGUAGE_COOKIE}=en"}, "zh", "en"),
        ({"accept-language": "zh", "cookie": f"{LANGUAGE_COOKIE}=klingon"}, "auto", "zh"),
    ],
)
def test_a_language_is_the_chosen_one_or_the_usual_one_or_the_browsers(
    headers: dict[str, str], usual: str, language: str
) -> None:
    assert language_of(headers, usual) == language


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A small catalogue in place of the Chinese one."""
    texts._patterns.cache_clear()
    told = {
        "{it} is here.": "{it} 到了。",
        "{any} here.": "{any} 在此。",
        "The same {what}": "同一个{what}",
        "cup": "杯子",
    }
    told["cup"] = "杯子"
    monkeypatch.setattr(texts, "catalogue", lambda language: told if language == "zh" else {})
    yield told
    texts._patterns.cache_clear()


@pytest.mark.usefixtures("known")
def test_a_finished_sentence_is_told_by_its_template() -> None:
    assert texts.retold("mini is here.") == "mini is here."
    with speaking("zh"):
        assert texts.retold("mini is here.") == "mini 到了。"
        assert texts.retold("The same cup") == "同一个杯子"
        assert texts.retold("The same a, cup, b") == "同一个a, 杯子, b"
        assert texts.retold("unknown") == "unknown"
        assert said("{it} is here.", it="{x}") == "{x} 到了。"


def test_texts_within_html_are_told_and_what_is_no_text_is_left() -> None:
    page = {
        "components": [
            {
                "type": "html",
                "props": {"value": '<p class="hint" title="A &lt; b">Give <b>a cup</b></p>\n', "label": None},
            },
            {"type": "markdown", "props": {"value": "### Models"}},
            {"type": "textbox", "props": {"value": "Give", "placeholder": "Give", "elem_id": "Give"}},
            {"type": "radio", "props": {"value": "Give", "choices": [("Give", "Give")]}},
        ]
    }
    seen = told_by(str.upper, page)["components"]
    assert seen[0]["props"]["value"] == '<p class="hint" title="A &lt; B">GIVE <b>A CUP</b></p>\n'
    assert seen[1]["props"]["value"] == "### MODELS"
    assert seen[2]["props"] == {"value": "Give", "placeholder": "GIVE", "elem_id": "Give"}
    assert seen[3]["props"] == {"value": "Give", "choices": [("GIVE", "Give")]}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The page in front of a model that is never opened."""
    folder = tmp_path_factory.mktemp("texts")
    settings = settings_in(folder)
    machine = Machine(["mini"], lambda *_: pytest.fail("the model was opened"))
    return build_page(Workshop(settings.history, machine, library=settings.library), settings)


@pytest.fixture(scope="module")
def address(page: Any) -> Iterator[str]:
    """Where the page is served."""
    with opened(page=page) as running:
        yield running.page


def told(address: str, **headers: str) -> tuple[str, str]:
    """The page as it is served: its first script, and its configuration."""
    answer = httpx.get(address, headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert answer.status_code == 200
    scripts = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    return scripts[0], next(one for one in scripts if one.startswith("window.gradio_config"))


def test_the_page_is_served_in_the_language_that_is_asked_for(address: str) -> None:
    for headers, name, tab in [
        ({"accept_language": "zh-CN"}, "zh-CN", "创作"),
        ({"accept_language": "fr"}, "en", "Create"),
        ({"accept_language": "zh-CN", "cookie": f"{LANGUAGE_COOKIE}=en"}, "en", "Create"),
        ({"accept_encoding": "identity", "cookie": f"{LANGUAGE_COOKIE}=zh"}, "zh-CN", "创作"),
    ]:
        first, config = told(address, **headers)
        assert f'documentElement.lang = "{name}"' in first
        assert f'"label":"{tab}"' in config


def test_an_event_is_answered_in_the_language_of_whoever_asks() -> None:
    with Page(analytics_enabled=False) as page:
        told = gr.Textbox()
        told.submit(lambda name: said("{name} is ready.", name=name), told, told, api_visibility="private")
    page.queue()
    with opened(page=page) as running:
        answers = []
        for spoken in ("zh-CN", "en"):
            session, body = uuid.uuid4().hex, {"data": ["A card"], "fn_index": 0}
            asked = {**body, "session_hash": session}
            httpx.post(f"{running.page}gradio_api/queue/join", json=asked, headers={"accept-language": spoken})
            answers.append(answer(running.page, session)["output"]["data"])
    assert answers == [["A card 已就绪。"], ["A card is ready."]]
