"""The page begins without what draws."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.ui.page import build_page
from pipelines.studio import Studio
from tests.support.pages import settings_in, workshop_in
from tests.support.tiny_models import tiny_model

HEAVY = ("torch", "diffusers", "transformers", "scipy")


@pytest.mark.parametrize("module", ["app.jobs.workshop", "app.api.application", "pipelines.pictures"])
def test_jobs_wait_and_pictures_are_read_without_what_draws(module: str) -> None:
    asked = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_the_command_of_the_page_loads_nothing_that_draws_and_writes_no_stubs() -> None:
    asked = (
        "import sys; from app.gradio_stubs import leave_out_stubs; leave_out_stubs(); import app.cli.runs.ui, inspect; "
        f"print([name for name in {HEAVY} if name in sys.modules]); "
        "import gradio.component_meta as meta; print(meta.create_or_modify_pyi.__module__)"
    )
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert told.stdout.split("\n")[:2] == ["[]", "app.gradio_stubs"]


def test_a_message_changes_what_it_says_and_no_components_progress(tmp_path: Path) -> None:
    """Gradio's page searches all its components for each output whose progress it changes, at every message."""
    workshop = workshop_in(tmp_path, Studio(tiny_model()))
    page = build_page(workshop, settings_in(tmp_path))
    workshop.close()
    shown = {name: one.show_progress_on for name, one in page.fns.items() if one.fn is not None and one.outputs}
    assert shown and [name for name, on in shown.items() if on != []] == []
