"""The page of the Python API: its examples run as written, and it names everything that is public."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import blipdiff
import pipelines

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
CHECK = """
import sys
from app.cli.main import run_blipdiff
job = Job.of(PostcardRequest(category="dog", steps=2, count=1, border=16), subject="my_dog.png")
card = save_new_picture(next(e for e in run(studio, job) if isinstance(e, Result)).picture, Path("outputs"), "card")
assert repeat(card).request.border == 16
sys.argv = ["blipdiff", "postcard", "--help"]
run_blipdiff()
"""


@pytest.mark.bundled
def test_the_examples_run_as_written_and_a_task_of_ones_own_is_a_command(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    shutil.copy(ROOT / "blipdiff" / "assets" / "subjects" / "padlock.png", tmp_path / "my_dog.png")
    (tmp_path / "example.py").write_text(
        "\n".join([blocks[0].replace("seed=7)", "seed=7, steps=2)"), blocks[1], CHECK])
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    asked = [sys.executable, "example.py"]
    done = subprocess.run(asked, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "4 of 4" not in done.stdout, "the two pictures are one batch of two steps"
    assert "2 of 2" in done.stdout
    assert "--border" in done.stdout and "From 0 to 64." in done.stdout


@pytest.mark.parametrize("top", [blipdiff, pipelines], ids=lambda top: top.__name__)
def test_every_public_name_stands_on_the_page(top) -> None:
    missing = [name for name in top.__all__ if f"`{name}`" not in PAGE and not name.startswith("__")]
    assert not missing
