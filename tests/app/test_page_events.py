"""What the page answers to its events, and to files of every kind."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from app.settings import DOWNLOAD, MODEL, OUTPUT, Settings, read_settings, silence_libraries
from app.ui import form, markup
from app.ui.files import readable_settings
from app.ui.generate_events import GenerateEvents
from app.ui.generate_layout import Layout, lay_out
from app.ui.notices import guarded
from app.ui.orders import Orders
from app.ui.subjects import Tile, category_of, looked_through
from app.ui.suggestions import Suggestions
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.errors import ConfigError
from pipelines.requests import GenerateRequest
from pipelines.results import Picture, save_picture
from pipelines.studio import Studio
from tests.support.tiny_models import photo, tiny_model

VISIT = SimpleNamespace(session_hash="visit")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # how a notice shows without a page


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


@pytest.fixture
def layout() -> Layout:
    with gr.Blocks():
        return lay_out(16, [])


@pytest.fixture
def events(studio: Studio, layout: Layout, tmp_path: Path) -> GenerateEvents:
    return GenerateEvents(studio, tmp_path / "output", Orders(), layout)


@pytest.fixture
def dog(tmp_path: Path) -> str:
    photo().save(tmp_path / "dog.png")
    return str(tmp_path / "dog.png")


def values(**changes: Any) -> list[Any]:
    typed = {name: form.starting_value(name) for name in form.NAMES} | {"category": "dog", "steps": 2, "count": 2}
    return [*(typed | changes).values(), True]


def drawn(studio: Studio, path: Path) -> str:
    """A picture's file."""
    subject = studio.subject([SubjectPhoto(photo(), "dog")])
    request = GenerateRequest(category="dog", prompt="in the snow", count=1, seed=5, steps=2)
    return str(save_picture(next(one for one in studio.run(request, subject) if isinstance(one, Picture)), path))


class Guesses:
    """Stands in for the describer, whose weights a tiny model has not."""

    def of(self, path: str) -> list[tuple[str, float]]:
        return [("dog", 0.875), ("wolf", 0.125)]


def test_categories_are_suggested_only_for_a_photo_that_nobody_named(
    studio: Studio, layout: Layout, dog: str, tmp_path: Path
) -> None:
    events = GenerateEvents(studio, tmp_path, Orders(), layout, Guesses())
    suggestions, category = layout.subject.suggestions, layout.fields["category"]

    def offered(paths: list[str], typed: str) -> list[tuple[str, str]]:
        return list(events.look_at_subject(paths, typed)[suggestions].choices)

    assert offered([dog], "") == [("dog, 88 %", "dog"), ("wolf, 12 %", "wolf")]
    assert offered([dog], "cat") == offered([], "") == []
    answer = events.use_suggestion("wolf")
    assert answer[category] == "wolf"
    assert answer[suggestions].choices == []
    assert Suggestions().of(str(tmp_path / "nothing.png")) == []
    assert Suggestions().of(dog) == []  # noise: the bundled describer is not sure


def test_an_order_is_drawn_and_its_first_picture_is_selected(
    events: GenerateEvents, layout: Layout, dog: str, tmp_path: Path
) -> None:
    answer = events.ask(VISIT, [dog], [], *values())
    seed = int(answer[layout.fields["seed"]])
    changes: dict[Any, Any] = {}
    for one in events.generate(VISIT, [("older.png", 1)]):
        changes |= one
    pictures = changes[layout.memory.pictures]
    assert [(Path(path).name, seed) for path, seed in pictures] == [
        (f"dog-{seed}.png", seed),
        (f"dog-{seed + 1}.png", seed + 1),
        ("older.png", 1),  # its file may be gone: what the browser has is a copy
    ]
    for path, _ in pictures[:2]:
        assert Path(path).read_bytes() == (tmp_path / "output" / Path(path).name).read_bytes()
    assert "2 pictures in" in changes[layout.action.status]
    assert changes[layout.memory.chosen] == pictures[0]
    assert changes[layout.result.metadata]["request"]["subject"].startswith("in the file")
    assert events.reuse_seed(pictures[1])[layout.fields["seed"]] == str(seed + 1)


def test_an_order_without_a_subject_or_with_a_bad_value_is_answered_and_not_drawn(
    events: GenerateEvents, layout: Layout, dog: str
) -> None:
    for paths, typed, words in (
        (None, values(), "There is no subject yet"),
        ([dog], values(category=""), "The category is empty"),
        ([dog], values(steps=None), "Steps is empty"),
    ):
        assert words in events.ask(VISIT, paths, [], *typed)[layout.action.status]
        assert list(events.generate(VISIT, [])) == [gr.skip()]


def test_a_second_press_while_one_order_waits_changes_nothing(events: GenerateEvents, layout: Layout, dog: str) -> None:
    events.ask(VISIT, [dog], [], *values())
    assert events.ask(VISIT, [dog], [], *values()) == gr.skip()
    assert "Cancelled before it began" in events.cancel(VISIT, [])[layout.action.status]
    assert list(events.generate(VISIT, [])) == [gr.skip()]
    assert "Nothing is being drawn" in events.cancel(VISIT, [])[layout.action.status]


def test_cancelling_in_the_middle_ends_with_a_word_about_how_far_it_came(
    events: GenerateEvents, layout: Layout, dog: str
) -> None:
    events.ask(VISIT, [dog], [], *values(steps=50))
    last: dict[Any, Any] = {}
    for answer in events.generate(VISIT, []):
        last = answer
        if "Step" in str(answer.get(layout.action.status)):
            assert events.cancel(VISIT, []) == gr.skip()
    assert "Cancelled after step" in last[layout.action.status]
    assert "of 50" in last[layout.action.status]


def test_whoever_sees_the_end_of_a_run_may_ask_for_the_next(
    events: GenerateEvents, layout: Layout, dog: str, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked_again() -> bool:
        return layout.fields["seed"] in events.ask(VISIT, [dog], [], *values())

    assert asked_again()
    for answer in events.generate(VISIT, []):
        if "2 pictures in" in answer.get(layout.action.status, ""):
            assert asked_again()
    (events._output / "file").write_text("in the way")
    monkeypatch.setattr(events, "_output", events._output / "file")
    for answer in events.generate(VISIT, []):
        assert "file" in answer[layout.action.status]
        assert asked_again()


def test_a_bug_is_shown_as_one_and_the_page_is_free_again(
    events: GenerateEvents, studio: Studio, layout: Layout, dog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("<b>never</b>")

    events.ask(VISIT, [dog], [], *values())
    with monkeypatch.context() as broke:
        broke.setattr(studio, "subject", broken)
        answers = guarded(events.generate)(VISIT, [])
        with pytest.raises(gr.Error, match="&lt;b&gt;never"):
            for answer in answers:
                last = answer
    assert "This is a bug" in last[layout.action.status]
    assert "<b>" not in last[layout.action.status]
    assert layout.fields["seed"] in events.ask(VISIT, [dog], [], *values())


def test_a_picture_fills_the_form_and_brings_its_subject(
    events: GenerateEvents, studio: Studio, layout: Layout, tmp_path: Path
) -> None:
    changes = events.fill_from_picture(drawn(studio, tmp_path / "made.png"))
    assert changes[layout.fields["prompt"]] == "in the snow"
    assert changes[layout.random_seed] is False
    [card] = changes[layout.subject.files]
    kept = SubjectEmbedding.load(card)
    assert (kept.category, kept.fingerprint) == ("dog", studio.model.subject_fingerprint)


def test_another_models_picture_fills_the_form_without_its_subject(
    events: GenerateEvents, layout: Layout, tmp_path: Path
) -> None:
    changes = events.fill_from_picture(drawn(Studio(tiny_model(1)), tmp_path / "made.png"))
    assert changes[layout.fields["prompt"]] == "in the snow"
    assert layout.subject.files not in changes


def test_a_picture_of_another_program_changes_nothing(events: GenerateEvents, layout: Layout, dog: str) -> None:
    assert events.fill_from_picture(dog) == {layout.keeping.made_here: None}


def test_a_subject_card_is_written_and_named_by_its_category(events: GenerateEvents, dog: str, tmp_path: Path) -> None:
    events.save_card([dog], "bull dog", "pad")
    assert SubjectEmbedding.load(tmp_path / "output" / "bull-dog.safetensors").category == "bull dog"
    assert events.save_card([], "dog", "pad") == gr.skip()


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
    metadata = {"seed": 1, "request": {"prompt": "x", "subject": "A" * 65000}}
    assert readable_settings(metadata)["request"]["subject"] == "in the file, 65 kB"
    assert len(metadata["request"]["subject"]) == 65000


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
