"""What the page answers to its events, and to files of every kind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from app.settings import DOWNLOAD, MODEL, OUTPUT, Settings, read_settings, silence_libraries
from app.ui import markup
from app.ui.files import readable_settings
from app.ui.orders import Orders
from app.ui.page import build_page
from app.ui.subject_field import SubjectField
from app.ui.subjects import Tile, category_of, looked_through
from app.ui.suggestions import Suggestions
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.errors import ConfigError, OutputError
from pipelines.metadata import read_metadata, repeat
from pipelines.pictures import save_picture
from pipelines.studio import Studio
from tests.support.page_asked import Asked
from tests.support.studios import picture_of
from tests.support.tiny_models import photo, tiny_model

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # how a notice shows without a page

RECORDED = Path(__file__).parents[1] / "recorded" / "pictures"
GENERATE = {"field_category": "dog", "field_steps": 2, "field_count": 2}


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages") / "output"


@pytest.fixture(scope="module")
def page(studio: Studio, output: Path) -> Asked:
    return Asked(build_page(studio, Settings(output=output, library=output.parent / "library"), Orders()))


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


class Guesses:
    """Stands in for the describer, whose weights a tiny model has not."""

    def of(self, path: str) -> list[tuple[str, float]]:
        return [("dog", 0.875), ("wolf", 0.125)]


def test_categories_are_suggested_only_for_a_photo_that_nobody_named(dog: str, tmp_path: Path) -> None:
    with gr.Blocks():
        field, category = SubjectField(str, "Subject"), gr.Textbox()

    def offered(paths: list[str], typed: str) -> list[tuple[str, str]]:
        return list(field.look(Guesses(), category, paths, typed)[field.suggestions].choices)  # type: ignore[arg-type]

    assert offered([dog], "") == [("dog, 88 %", "dog"), ("wolf, 12 %", "wolf")]
    assert offered([dog], "cat") == offered([], "") == []
    answer = field.use_suggestion(category, "wolf")
    assert answer[category] == "wolf"
    assert answer[field.suggestions].choices == []
    assert Suggestions().of(str(tmp_path / "nothing.png")) == []
    assert Suggestions().of(dog) == []  # noise: the bundled describer is not sure


def test_an_order_is_drawn_and_its_first_picture_is_selected(
    page: Asked, ask: Callable[..., dict[str, Any]], output: Path
) -> None:
    seed = int(ask()["field-seed"])
    changes = last_of(page.drawn("generate", [("older.png", "seed 1", 1)]))
    shown = [(Path(path).name, caption) for path, caption in gallery_of(changes)]
    assert shown == [
        (f"dog-{seed}.png", f"seed {seed}"),
        (f"dog-{seed + 1}.png", f"seed {seed + 1}"),
        ("older.png", "seed 1"),  # its file may be gone: what the browser has is a copy
    ]
    for path, _ in gallery_of(changes)[:2]:
        assert Path(path).read_bytes() == (output / Path(path).name).read_bytes()
    assert "2 pictures in" in changes["status"]
    assert changes["details"].label == f"The selected picture, seed {seed}"
    assert changes["metadata"]["job"]["inputs"]["subject"][0]["rows"].startswith("in the file")


def test_an_order_without_a_subject_or_with_a_bad_value_is_answered_and_not_drawn(
    page: Asked, ask: Callable[..., dict[str, Any]]
) -> None:
    for typed, words in (
        ({"subject": None}, "There is no subject yet"),
        ({"field_category": ""}, "The category is empty"),
        ({"field_steps": None}, "Steps is empty"),
    ):
        assert words in ask(**typed)["status"]
        assert list(page.drawn("generate")) == [{}]


def test_a_second_press_while_one_order_waits_changes_nothing(page: Asked, ask: Callable[..., dict[str, Any]]) -> None:
    assert "Waiting for the model" in ask()["status"]
    with pytest.warns(UserWarning, match="still being drawn"):
        assert ask() == {}
    assert list(page.drawn("stylize-draw")) == [{}], "the order is another tab's"
    assert "Cancelled before it began" in page.cancelled("cancel")["status"]
    assert list(page.drawn("generate")) == [{}]
    assert "Nothing is being drawn" in page.cancelled("cancel")["status"]


@pytest.mark.parametrize("tab", ["generate", "attend"])
def test_cancelling_in_the_middle_ends_with_a_word_about_how_far_it_came(tab: str, page: Asked, dog: str) -> None:
    named = "" if tab == "generate" else f"{tab}-"
    prefix, button = ("field", "generate") if tab == "generate" else (tab, f"{tab}-draw")
    typed = {f"{prefix}_category": "dog", f"{prefix}_steps": 50}
    page.click(button, **{f"{named}subject": [dog]}, **typed)
    last: dict[str, Any] = {}
    for answer in page.drawn(button):
        last = answer
        if "Step" in str(answer.get(f"{named}status")):
            assert page.cancelled(f"{named}cancel") == {}
    assert "Cancelled after step" in last[f"{named}status"]
    assert "of 50" in last[f"{named}status"]


def test_whoever_sees_the_end_of_a_run_may_ask_for_the_next(
    page: Asked, ask: Callable[..., dict[str, Any]], output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked_again() -> bool:
        return "field-seed" in ask()

    assert asked_again()
    for answer in page.drawn("generate"):
        if "2 pictures in" in answer.get("status", ""):
            assert asked_again()
    monkeypatch.setattr("app.ui.views.check_writable", _refused)
    for answer in page.drawn("generate"):
        assert "in the way" in answer["status"]
        assert asked_again()
    page.cancelled("cancel")


def test_a_bug_is_shown_as_one_and_the_page_is_free_again(
    page: Asked, studio: Studio, ask: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("<b>never</b>")

    ask()
    last: dict[str, Any] = {}
    with monkeypatch.context() as broke:
        broke.setattr(studio, "subject", broken)
        with pytest.raises(gr.Error, match="&lt;b&gt;never"):
            for answer in page.drawn("generate"):
                last = answer
    assert "This is a bug" in last["status"]
    assert "<b>" not in last["status"]
    assert "field-seed" in ask()
    page.cancelled("cancel")


def test_a_picture_fills_the_form_and_brings_its_subject(page: Asked, studio: Studio, tmp_path: Path) -> None:
    changes = page.changed("made-here", "upload", made_here=made(studio, tmp_path / "made.png"))
    assert (changes["field-prompt"], changes["field-seed"], changes["random-seed"]) == ("in the snow", "5", False)
    [card] = changes["subject"]
    kept = SubjectEmbedding.load(card)
    assert (kept.category, kept.fingerprint) == ("dog", studio.model.subject_fingerprint)
    answer = page.click("generate", subject=[card], **_as_typed(changes, "field"), random_seed=False)
    assert answer["field-seed"] == "5"
    [(path, _)] = gallery_of(last_of(page.drawn("generate")))
    assert Image.open(path).tobytes() == Image.open(tmp_path / "made.png").tobytes()


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.png")), ids=lambda path: path.stem)
def test_a_picture_of_an_earlier_version_fills_the_form_of_its_task(path: Path, page: Asked) -> None:
    job = repeat(path)
    named, prefix = ("made-here", "field") if job.task == "generate" else (f"{job.task}-made-here", job.task)
    changes = page.changed(named, "upload", **{named: str(path)})
    assert changes[f"{prefix}-steps"] == job.request.steps
    assert changes[f"{prefix}-negative"] == job.request.negative
    assert changes[f"{prefix}-seed"] == str(read_metadata(path)["seed"])


def test_another_models_picture_fills_the_form_without_its_subject(page: Asked, tmp_path: Path) -> None:
    changes = page.changed("made-here", "upload", made_here=made(Studio(tiny_model(1)), tmp_path / "made.png"))
    assert changes["field-prompt"] == "in the snow"
    assert "subject" not in changes


def test_a_picture_of_another_program_or_task_changes_nothing(
    page: Asked, studio: Studio, dog: str, tmp_path: Path
) -> None:
    assert page.changed("made-here", "upload", made_here=dog) == {"made-here": None}
    other = made(studio, tmp_path / "made.png")
    with pytest.warns(UserWarning, match="made by the task generate"):
        assert page.changed("edit-made-here", "upload", edit_made_here=other) == {"edit-made-here": None}


def test_a_subject_card_is_written_and_named_by_its_category(page: Asked, dog: str, output: Path) -> None:
    page.click("save-card", subject=[dog], field_category="bull dog")
    assert SubjectEmbedding.load(output / "bull-dog.safetensors").category == "bull dog"
    assert page.click("save-card", subject=[], field_category="dog") == {}


def test_files_are_looked_through_one_by_one(dog: str, studio: Studio, tmp_path: Path) -> None:
    text, card = tmp_path / "notes.png", tmp_path / "cat.safetensors"
    text.write_text("no picture")
    studio.subject([SubjectPhoto(photo(), "cat")]).save(card)
    found = looked_through([str(text), dog, str(card), dog, dog, dog])
    assert found.paths == (dog, str(card), dog, dog)
    assert [tile.category for tile in found.tiles] == [None, "cat", None, None]
    assert len(found.complaints) == 2
    assert "notes.png" in found.complaints[0]
    assert not any(str(tmp_path) in complaint for complaint in found.complaints)


def test_names_and_words_cannot_become_html() -> None:
    evil = '<script>alert("x")</script>'
    pieces = (
        markup.heading(evil, evil, evil),
        markup.subjects([Tile(evil, Image.new("RGB", (8, 8)), evil)]),
        markup.message(evil, evil),
        markup.progress(evil, 1, 2),
    )
    assert not any("<script" in piece for piece in pieces)


def test_a_subjects_numbers_are_only_counted_in_what_is_shown() -> None:
    metadata = {"seed": 1, "job": {"prompt": "a dog " * 200, "inputs": [{"rows": "A" * 65000}]}}
    shown = readable_settings(metadata)
    assert shown["job"]["inputs"] == [{"rows": "in the file, 65 kB"}]
    assert shown["job"]["prompt"] == metadata["job"]["prompt"]  # type: ignore[index]


def test_a_bundled_photo_is_named_by_its_file() -> None:
    assert [category_of(Path(name)) for name in ("red_teapot-2.png", "dog.png")] == ["red teapot", "dog"]


def test_settings_come_from_the_environment_and_keep_the_libraries_silent() -> None:
    assert read_settings({}) == Settings()
    asked = {OUTPUT: "/tmp/pictures", MODEL: "folder", DOWNLOAD: "yes"}
    assert read_settings(asked) == Settings(Path("/tmp/pictures"), "folder", download=True)
    with pytest.raises(ConfigError, match=DOWNLOAD):
        read_settings({DOWNLOAD: "perhaps"})
    for settings, offline in ((Settings(), "1"), (Settings(download=True), None)):
        environment: dict[str, str] = {}
        silence_libraries(settings, environment)
        assert environment.get("HF_HUB_OFFLINE") == offline
        assert environment["GRADIO_ANALYTICS_ENABLED"] == "False"


def _as_typed(changes: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if name.startswith(f"{prefix}-")}


def _refused(folder: Path) -> None:
    raise OutputError(f"{folder} cannot be written: a file of that name is in the way.")
