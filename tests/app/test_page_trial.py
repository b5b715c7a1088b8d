"""A blend in passing is drawn by the model that is chosen."""

from pathlib import Path

from app.jobs.workshop import Machine, Workshop
from app.ui.page import build_page
from pipelines.studio import Studio
from tests.support.page_asked import Asked
from tests.support.pages import settings_in
from tests.support.tiny_models import photo, tiny_model


def test_a_preview_is_drawn_by_the_chosen_model(tmp_path: Path) -> None:
    settings, opened, studio = settings_in(tmp_path), list[str](), Studio(tiny_model())

    def opening(name: str, _device: str) -> Studio:
        opened.append(name)
        return studio

    workshop = Workshop(settings.history, Machine(["first", "second"], opening), library=settings.library)
    photo().save(tmp_path / "dog.png")
    visit = Asked(build_page(workshop, settings), workshop)
    dog = str(tmp_path / "dog.png")
    given = {"blend_photo_A": dog, "blend_photo_B": dog, "blend_word_A": "dog", "blend_word_B": "cat", "blend_steps": 2}
    try:
        told = visit.changed("blend-w-A", "release", model_choice="second", **given)
        assert "A preview in 2 steps" in told["blend-status"]
        assert opened == ["second"]
    finally:
        visit.close()
        workshop.close()
