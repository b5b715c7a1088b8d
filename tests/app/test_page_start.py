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
