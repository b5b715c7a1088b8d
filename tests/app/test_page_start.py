"""The page begins without what draws."""

import subprocess
import sys

import pytest

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
