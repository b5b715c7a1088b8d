"""What the page answers to its events, and to files of every kind."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from app.jobs.workshop import Workshop
from app.ui.page import build_page
from app.ui.room import Room
from app.ui.subject_picker.picker import SubjectPicker
from app.ui.suggestions import Suggestions
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import OutputError
from pipelines.metadata import read_metadata, repeat
from pipelines.pictures import save_picture
from pipelines.studio import Studio
from pipelines.task import SUBJECTS
from tests.support.page_asked import VISIT, Asked
from tests.support.pages import settings_in, workshop_in
from tests.support.studios import picture_of
from tests.support.tiny_models import photo, tiny_model

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # how a notice shows without a page

RECORDED = Path(__file__).parents[1] / "recorded" / "pictures"
GENERATE = {"field_category": "dog", "field_steps": 2, "field_count": 2}


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def workshop(studio: Studio, folder: Path) -> Iterator[Workshop]:
    made = workshop_in(folder, studio)
    made.start()
    made.models.get("")
    yield made
    made.close()


@pytest.fixture(scope="module")
def page(workshop: Workshop, folder: Path) -> Iterator[Asked]:
    visit = Asked(build_page(workshop, settings_in(folder)), workshop)
    yield visit
    visit.close()


@pytest.fixture
def dog(tmp_path: Path) -> str:
    photo().save(tmp_path / "dog.png")
    return str(tmp_path / "dog.png")


@pytest.fixture
def ask(page: Asked, dog: str) -> Callable[..., dict[str, Any]]:
    """ask(field_steps=50): a click on Generate, with a photo and these fields."""
    return lambda **typed: page.click("generate", **({"subject": [dog]} | GENERATE | typed))


def made(studio: Studio, path: Path) -> str:
    """A picture's file."""
    return str(save_picture(picture_of(studio, prompt="in the snow", seed=5, steps=2), path))


def last_of(answers: Any) -> dict[str, Any]:
    """All changes of a run, the later over the earlier ones."""
    changes: dict[str, Any] = {}
    for one in answers:
        changes |= one
    return changes


def gallery_of(changes: dict[str, Any]) -> list[tuple[str, str]]:
    """The gallery's pictures: file, and what stands under it."""
    return list(changes["gallery"].constructor_args["value"])


ALIKE = (1.0, 1.0, 1.0, 1.0)  # weights


class Guesses:
    """Stands in for the describer, whose weights a tiny model has not."""

    def of(self, path: str) -> list[tuple[str, float]]:
        return [("dog", 0.875), ("wolf", 0.125)]


def test_categories_are_suggested_only_for_a_photo_that_nobody_named(
    workshop: Workshop, dog: str, tmp_path: Path
) -> None:
    with gr.Blocks() as blocks:
        room = Room(blocks, workshop, settings_in(tmp_path))
        field, category = SubjectPicker(room, str, SUBJECTS), gr.Textbox()

    def offered(paths: list[str], typed: str) -> list[tuple[str, str]]:
        return list(field.look(Guesses(), category, paths, *ALIKE, typed)[field.suggestions].choices)  # type: ignore[arg-type]

    assert offered([dog], "") == [("dog, 88 %", "dog"), ("wolf, 12 %", "wolf")]
    assert offered([dog], "cat") == offered([], "") == []
    answer = field.use_suggestion(category, "wolf")
    assert answer[category] == "wolf"
    assert answer[field.suggestions].choices == []
    assert Suggestions().of(str(tmp_path / "nothing.png")) == []
    assert Suggestions().of(dog) == []  # noise: the bundled describer is not sure


def test_a_job_is_drawn_and_its_first_picture_is_selected(
    page: Asked, ask: Callable[..., dict[str, Any]], folder: Path
) -> None:
    seed = int(ask()["field-seed"])
    changes = last_of(page.drawn())
    shown = [(Path(path).name, caption) for path, caption in gallery_of(changes)][:2]
    assert [name.partition("-dog-")[2] for name, _ in shown] == [f"{seed}.png", f"{seed + 1}.png"]
    assert [caption for _, caption in shown] == [f"seed {seed}", f"seed {seed + 1}"]
    for path, _ in gallery_of(changes)[:2]:
        [kept] = (folder / "history" / "pictures").rglob(Path(path).name)
        assert Path(path).read_bytes() == kept.read_bytes()
    assert "2 pictures in" in changes["status"]
    assert changes["details"].label == f"The selected picture, seed {seed}"
    assert changes["metadata"]["job"]["inputs"]["subject"][0]["rows"].startswith("in the file")


def test_what_has_no_subject_or_a_bad_value_is_answered_and_not_drawn(
    page: Asked, workshop: Workshop, ask: Callable[..., dict[str, Any]]
) -> None:
    before = len(workshop.queue.tickets())
    for typed, words in (
        ({"subject": None}, "There is no subject yet"),
        ({"field_category": ""}, "The category is empty"),
        ({"field_count": None}, "Pictures is empty"),
    ):
        assert words in ask(**typed)["status"]
    assert len(workshop.queue.tickets()) == before


def test_several_jobs_wait_and_cancel_takes_the_one_that_is_drawn_then_the_last(
    page: Asked, workshop: Workshop, ask: Callable[..., dict[str, Any]]
) -> None:
    for number in range(3):
        assert "field-seed" in ask(field_steps=900, field_count=1, field_prompt=f"number {number}")
    states: list[dict[str, str]] = []
    for answer in page.drawn():
        if "Step" in str(answer.get("status")) and len(states) < 3:
            assert page.cancelled("cancel") == {}
            states.append({one.name: one.state for one in workshop.queue.tickets(most=3)})
    assert "dog, number 0" in states[0]
    assert [one.state for one in workshop.queue.tickets(most=3)] == ["cancelled"] * 3
    assert "Nothing is being drawn" in page.cancelled("cancel")["status"]


@pytest.mark.parametrize("tab", ["generate", "attend"])
def test_cancelling_in_the_middle_ends_with_a_word_about_how_far_it_came(tab: str, page: Asked, dog: str) -> None:
    named = "" if tab == "generate" else f"{tab}-"
    prefix, button = ("field", "generate") if tab == "generate" else (tab, f"{tab}-draw")
    typed = {f"{prefix}_category": "dog", f"{prefix}_steps": 900}
    page.click(button, **{f"{named}subject": [dog]}, **typed)
    last: dict[str, Any] = {}
    for answer in page.drawn():
        last |= answer
        if "Step" in str(answer.get(f"{named}status")):
            assert page.cancelled(f"{named}cancel") == {}
    assert "Cancelled after step" in last[f"{named}status"]


def test_a_job_that_fails_is_told_and_listed_and_tried_again(
    page: Asked, workshop: Workshop, ask: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broke:
        broke.setattr("app.jobs.history.History.add", _refused)
        ask()
        failed = last_of(page.drawn())
    assert "in the way" in failed["status"]
    [ticket] = workshop.queue.tickets(states=("failed",))
    assert "Try again" in failed["line"]
    event = SimpleNamespace(_data={"act": "retry", "job": ticket.id})
    target = (page["line"]._id, "click")
    [pressed] = [one for one in page.page.fns.values() if target in one.targets]
    pressed.fn(VISIT, "another-browser-altogether", event)
    assert workshop.queue.ticket(ticket.id).state == "failed", "it is not that one's"
    pressed.fn(VISIT, "", event)
    assert "2 pictures in" in last_of(page.drawn())["status"]


def test_a_bug_is_shown_as_one_and_the_page_is_free_again(
    page: Asked, studio: Studio, ask: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("<b>never</b>")

    with monkeypatch.context() as broke:
        broke.setattr(studio, "subject", broken)
        ask()
        last = last_of(page.drawn())
    assert "The program has a fault here: ZeroDivisionError" in last["status"]
    assert "<b>" not in last["status"]
    ask()
    assert "2 pictures in" in last_of(page.drawn())["status"]


def test_a_picture_fills_the_form_and_brings_its_subject(page: Asked, studio: Studio, tmp_path: Path) -> None:
    changes = page.changed("made-here", "upload", made_here=made(studio, tmp_path / "made.png"))
    assert (changes["field-prompt"], changes["field-seed"], changes["random-seed"]) == ("in the snow", "5", False)
    [card] = changes["subject"]
    kept = SubjectEmbedding.load(card)
    assert (kept.category, kept.fingerprint) == ("dog", studio.model.subject_fingerprint)
    answer = page.click("generate", subject=[card], **_as_typed(changes, "field"), random_seed=False)
    assert answer["field-seed"] == "5"
    path, _ = gallery_of(last_of(page.drawn()))[0]
    assert Image.open(path).tobytes() == Image.open(tmp_path / "made.png").tobytes()


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.png")), ids=lambda path: path.stem)
def test_a_picture_of_an_earlier_version_fills_the_form_of_its_task(path: Path, page: Asked) -> None:
    job = repeat(path)
    named, prefix = ("made-here", "field") if job.task == "generate" else (f"{job.task}-made-here", job.task)
    changes = page.changed(named, "upload", **{named: str(path)})
    assert str(changes[f"{prefix}-steps"]) == str(job.request.steps)
    assert changes[f"{prefix}-negative"] == job.request.negative
    assert changes[f"{prefix}-seed"] == str(read_metadata(path)["seed"])


def test_another_models_picture_fills_the_form_without_its_subject(page: Asked, tmp_path: Path) -> None:
    changes = page.changed("made-here", "upload", made_here=made(Studio(tiny_model(1)), tmp_path / "made.png"))
    assert changes["field-prompt"] == "in the snow"
    assert "subject" not in changes


def test_a_picture_of_another_program_changes_nothing_and_of_another_task_opens_its_tab(
    page: Asked, studio: Studio, dog: str, tmp_path: Path
) -> None:
    assert page.changed("made-here", "upload", made_here=dog) == {"made-here": None}
    other = made(studio, tmp_path / "made.png")
    changes = page.changed("edit-made-here", "upload", edit_made_here=other)
    assert (changes["edit-made-here"], changes["field-prompt"]) == (None, "in the snow")
    assert changes["tabs"].constructor_args["selected"] == "generate-tab"


def test_a_subject_card_is_written_and_named_by_its_category(page: Asked, dog: str, folder: Path) -> None:
    page.click("save-card", subject=[dog], field_category="bull dog")
    assert SubjectEmbedding.load(folder / "output" / "bull-dog.safetensors").category == "bull dog"
    assert page.click("save-card", subject=[], field_category="dog") == {}


def _as_typed(changes: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if name.startswith(f"{prefix}-")}


def _refused(*_: Any) -> None:
    raise OutputError("The history cannot be written: a file of that name is in the way.")
