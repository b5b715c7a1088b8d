"""No text of the page is without Chinese, no Chinese without a text, and nothing is glued together."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import gradio as gr
import pytest

from app.jobs.workshop import Machine, Workshop
from app.ui.page import build_page
from app.ui.spoken import told_by
from app.ui.texts import (
    GRADIO,
    OTHERS,
    catalogue_files,
    gradio_words,
    places,
    read,
    retold,
    said,
    script_texts,
    speaking,
)
from blipdiff.control.choices import PREPROCESSORS
from blipdiff.control.net_names import BUNDLED_CONTROLS
from blipdiff.ranges import SCHEDULER_NAMES, TABLED_NAMES
from tests.support.pages import settings_in

ROOT = Path(__file__).parents[2]
PAGE = sorted((ROOT / "app" / "ui").rglob("*.py"))
SCRIPTS = sorted((ROOT / "app" / "assets").glob("*.js"))
TOLD_BY = (
    "app/cluster/away.py",
    "app/cluster/errors.py",
    "app/jobs",
    "app/ui",
    "pipelines",
    "blipdiff/checkpoints/additions.py",
    "blipdiff/control/choices.py",
    "blipdiff/checkpoints/inventory.py",
    "blipdiff/language",
    "blipdiff/conditioning/prompt.py",
    "blipdiff/sampling/openvino_engine",
)
TELLING = {"message", "notice", "refusal", "progress", "heading", "welcome"}
# the same in every language: names, and examples of what is typed for a model that reads English
NAMES = {
    *SCHEDULER_NAMES, *TABLED_NAMES, *PREPROCESSORS, *BUNDLED_CONTROLS,
    "blipdiff", "mini", "mini-describe", "a1111", "compel", "bicubic", "lanczos", "webp", "gif", "mp4", *"ABCD",
    "torch", "OpenVINO",
    "Language / 语言", "English", "简体中文",
    "Ctrl + Enter", "Esc", "R", "?", "←", "→",
    "teapot", "on a snowy mountain", "a cat sits on a sofa", "dog",
}  # fmt: skip


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Every text on the page as it is built."""
    settings = settings_in(tmp_path_factory.mktemp("texts"))
    machine = Machine(["mini"], lambda *_: pytest.fail("the model was opened"))
    page = build_page(Workshop(settings.history, machine, library=settings.library), settings)
    found: set[str] = set()

    def tell(text: str) -> str:
        found.add(text)
        return text

    told_by(tell, page.plain)
    return {text for text in found if text.strip()}


@cache
def parsed(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in parsed(path):
        if isinstance(node, ast.Call):
            yield node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", ""), node


def constants() -> dict[str, str]:
    """Texts that have a name in the page's modules."""
    return {
        node.targets[0].id: node.value.value
        for path in PAGE
        for node in parsed(path)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }


def said_texts() -> set[str]:
    """What the page's handlers and scripts say."""
    named, found = constants(), set[str]()
    for path in PAGE:
        for name, call in calls(path):
            if name == "said":
                [text, *_] = call.args
                told = text.value if isinstance(text, ast.Constant) else named.get(getattr(text, "id", ""))
                assert isinstance(told, str), f"{path.name}:{text.lineno}: say a text, or one that has a name"
                found.add(told)
    return found | said_by_scripts()


def said_by_scripts() -> set[str]:
    found = set[str]()
    for path in SCRIPTS:
        found |= set(re.findall(r'\bsaid\("((?:[^"\\]|\\.)*)"', path.read_text(encoding="utf-8")))
    return found


def skeleton(text: str) -> str:
    """A template whatever its places are called."""
    return re.sub(r"\{[^{}]*\}", "{}", text)


def written() -> set[str]:
    """Every text in the sources that jobs and models tell of themselves by, as a template."""
    found = set[str]()
    for place in TOLD_BY:
        for path in (ROOT / place).rglob("*.py") if (ROOT / place).is_dir() else [ROOT / place]:
            for node in parsed(path):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(skeleton(node.value))
                elif isinstance(node, ast.JoinedStr):
                    found.add(
                        "".join(
                            skeleton(str(one.value)) if isinstance(one, ast.Constant) else "{}" for one in node.values
                        )
                    )
    for path in (ROOT / "pipelines" / "presets" / "bundled").glob("*.json"):
        found |= set(re.findall(r'"([^"]+)"', path.read_text(encoding="utf-8")))
    return found


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_of_the_page_is_told_in_every_language(language: str, shown: set[str]) -> None:
    with speaking(language):
        assert sorted(text for text in shown - NAMES if retold(text) == text) == []


@pytest.mark.parametrize("language", OTHERS)
def test_all_that_handlers_and_scripts_say_is_told_in_every_language(language: str) -> None:
    known = {text for part in catalogue_files(language) for text in read(part)}
    assert sorted(said_texts() - known) == []
    assert sorted(said_by_scripts() - set(script_texts(language))) == [], "these belong into scripts.json"


@pytest.mark.parametrize("language", OTHERS)
def test_nothing_is_told_that_nobody_says(language: str, shown: set[str]) -> None:
    used = shown | said_texts()
    rest = {text for part in catalogue_files(language) if part.name != GRADIO for text in read(part)} - used
    known = written()
    assert sorted(text for text in rest if skeleton(text) not in known) == []


@pytest.mark.parametrize("language", OTHERS)
def test_words_of_gradio_are_said_by_gradio(language: str) -> None:
    parts = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
    said_there = "".join(path.read_text(encoding="utf-8") for path in parts.glob("*.js"))
    [words] = [read(part) for part in catalogue_files(language) if part.name == GRADIO]
    # titles of messages are made of their kinds: "warning" becomes "Warning"
    assert [word for word in words if word not in said_there and word.lower() not in said_there] == []
    named = {name for known in gradio_words().values() for name in known}
    assert [name for name in named if f"`{name}`" not in said_there] == []


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_told_once_with_the_same_places(language: str) -> None:
    seen: dict[str, str] = {}
    for part in sorted(catalogue_files(language), key=lambda one: one.name == GRADIO):  # whose words may be ours too
        for text, told in read(part).items():
            assert text not in seen or part.name == GRADIO, f"{text!r} stands in {part.name} and in {seen[text]}"
            assert set(places(text)) == set(places(told)), f"{text!r} and {told!r} differ in their places"
            assert told.strip(), f"{text!r} is told as nothing"
            seen[text] = part.name


def test_no_text_is_glued_of_pieces() -> None:
    found = []
    for path in PAGE:
        for name, call in calls(path):
            if not (name in TELLING or name.endswith("Error")):
                continue
            texts = call.args[:1] if name not in ("heading", "welcome") else call.args
            found += [f"{path.name}:{one.lineno}" for one in texts if isinstance(one, ast.JoinedStr)]
            if name in ("notice", "refusal") or name.endswith("Error"):
                found += [f"{path.name}:{one.lineno}" for one in texts if isinstance(one, ast.Constant)]
    assert found == [], "say a template: said('{name} is here.', name=name)"


def test_a_text_nobody_has_told_stays_english() -> None:
    with speaking("zh"):
        assert said("Nobody says this {much}.", much=1) == "Nobody says this 1."
