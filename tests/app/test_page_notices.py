"""Foreign text on the page is text: file names, categories and the words of errors never become HTML."""

import ast
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.utils import get_upload_folder

from app.ui import markup
from app.ui.notices import guarded, notice, refusal
from app.ui.parts import Parts
from app.ui.runs import Runs
from blipdiff.errors import ImageError
from pipelines.job import Job

EVIL = "<img src=x onerror=alert(1)>"
SAFE = "&lt;img src=x onerror=alert(1)&gt;"
UI = Path(markup.__file__).parent


def failing(text: str) -> None:
    raise KeyError(text)


def failing_later(text: str) -> Iterator[str]:
    yield "begun"
    raise KeyError(text)


def test_notices_refusals_and_bugs_are_escaped() -> None:
    with pytest.warns(UserWarning, match=SAFE.replace("(", r"\(").replace(")", r"\)")):
        notice(EVIL)
    assert str(refusal(EVIL).message) == SAFE
    for handler in (failing, partial(failing)):
        with pytest.raises(gr.Error) as raised:
            guarded(handler)(EVIL)
        assert SAFE in str(raised.value.message)
        assert isinstance(raised.value.__cause__, KeyError)
    for later in (failing_later, partial(failing_later)):
        going = guarded(later)(EVIL)
        assert next(going) == "begun"
        with pytest.raises(gr.Error, match="This is a bug"):
            next(going)


@pytest.mark.filterwarnings("ignore::UserWarning")  # how a notice shows without a page
def test_an_error_of_a_run_is_escaped_where_it_is_told() -> None:
    def asked() -> Job:
        raise ImageError(f"{get_upload_folder()}/0a1b/{EVIL}.png is not a picture.")

    parts: Any = Parts(*("status", "cancel", "stage", "", "", "", "", "", ""))
    runs = Runs("any", None, parts)  # type: ignore[arg-type]
    change, placed = runs.ask(SimpleNamespace(session_hash="visit"), "", "", [], asked)  # type: ignore[arg-type]
    assert placed is None
    assert f">{SAFE}.png is not a picture" in change["status"]
    assert EVIL not in change["status"]


def test_nothing_but_notices_speaks_to_gradio_itself() -> None:
    """A new `gr.Warning(text)` elsewhere would show the text as HTML."""
    for source in UI.rglob("*.py"):
        used = {
            node.attr
            for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "gr"
        }
        assert source.name == "notices.py" or not used & {"Warning", "Info", "Success"}, source.name


def test_a_guarded_handler_is_called_with_what_gradio_would_give_it() -> None:
    def ask(visit: gr.Request, text: str) -> str:
        return f"{visit.session_hash}: {text}"

    assert guarded(ask)(SimpleNamespace(session_hash="visit"), "hello") == "visit: hello"
    with gr.Blocks() as page:
        gr.Button().click(guarded(ask), [gr.Textbox()], [gr.Textbox()])
    (event,) = page.fns.values()
    assert list(gr.helpers.special_args(event.fn, inputs=["hello"], request=gr.Request())[0])[1] == "hello"


def test_changes_of_nothing_are_no_value() -> None:
    def told() -> Iterator[dict[Any, Any]]:
        yield {}

    assert guarded(dict)() == gr.skip()
    assert list(guarded(told)()) == [gr.skip()]
    assert guarded(lambda: {"status": "x"})() == {"status": "x"}
