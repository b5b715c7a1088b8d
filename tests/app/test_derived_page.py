"""A task that a program registers is on the page with everything that it declares, and is drawn as all others are."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from app.ui.page import build_page
from pipelines import task as registry
from pipelines.generate.run import prepare as prepare_generate
from pipelines.metadata import repeat
from pipelines.parameters import parameter
from pipelines.requests import SubjectSampling
from pipelines.studio import Studio
from pipelines.task import SUBJECTS, InputKind, Task, register
from tests.support.page_asked import Asked
from tests.support.pages import settings_in, workshop_in
from tests.support.tiny_models import photo, tiny_model

prepare = prepare_generate  # this module is the toy task's home


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyRequest(SubjectSampling):
    """Generate with two fields more."""

    mood: str = parameter("calm", "Mood", "How the picture feels.", choices=("calm", "wild"))
    warmth: float = parameter(0.5, "Warmth", "From cold to warm.", low=0.0, high=1.0, step=0.1, group="Light")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Asked]:
    monkeypatch.setattr(registry, "_REGISTERED", {})
    look = InputKind("picture", "Look", "A picture.", most=None)
    frame = InputKind("picture", "Frame", "Another.")
    inputs = {"subject": SUBJECTS, "look": look, "frame": frame}
    register(Task("toy", "Draw a toy.", "blipdiff toy", ToyRequest, inputs, __name__))
    workshop = workshop_in(tmp_path, Studio(tiny_model()))
    workshop.start()
    visit = Asked(build_page(workshop, settings_in(tmp_path)), workshop)
    yield visit
    visit.close()
    workshop.close()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_registered_task_has_its_tab_its_controls_and_its_runs(asked: Asked, tmp_path: Path) -> None:
    photo().save(tmp_path / "dog.png")
    dog, page = str(tmp_path / "dog.png"), asked.page
    assert "Toy" in [block.label for block in page.blocks.values() if isinstance(block, gr.Tab)]
    assert (asked["toy-mood"].label, asked["toy-mood"].info) == ("Mood", "How the picture feels.")
    assert (asked["toy-warmth"].minimum, asked["toy-warmth"].maximum, asked["toy-warmth"].value) == (0.0, 1.0, 0.5)
    assert "Light" in [block.label for block in page.blocks.values() if isinstance(block, gr.Accordion)]
    typed = {"toy_category": "dog", "toy_steps": 2, "toy_count": 1, "toy_mood": "wild", "toy_seed": "3"}
    assert "no subject yet" in asked.click("toy-draw", **typed)["toy-status"]
    asked.click("toy-draw", toy_subject=[dog], toy_look=[dog, dog], toy_frame=dog, **typed)
    changes: dict[str, Any] = {}
    for one in asked.drawn():
        changes |= one
    [made] = (tmp_path / "history" / "pictures").rglob("*dog-3.png")
    assert f"saved as {made}" in changes["toy-status"]
    job = repeat(made)
    assert (job.task, job.request.mood, job.request.warmth) == ("toy", "wild", 0.5)
    filled = asked.changed("toy-made-here", "upload", toy_made_here=str(made))
    assert (filled["toy-mood"], filled["toy-seed"]) == ("wild", "3")
    assert len(filled["toy-subject"]) == 1
