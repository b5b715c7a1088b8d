"""The README's Python examples run as written, on the bundled model, and say nothing that they should not."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WATCH = """
import blipdiff.sampling.predictor as watched
seen = []
begin = watched.GuidedPredictor.__init__
def noted(self, unet, guidance, *others, **named):
    seen.append((str(unet.dtype), set(guidance.scale.tolist())))
    begin(self, unet, guidance, *others, **named)
watched.GuidedPredictor.__init__ = noted
"""
CHECK = """
from blipdiff.devices import placement
assert seen and {dtype for dtype, _ in seen} == {str(placement().dtype)}, seen
assert all(scales == {3.0} for _, scales in seen), seen
"""


def python_blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.bundled
def test_every_python_example_runs_at_the_models_own_guidance_and_dtype(tmp_path: Path) -> None:
    blocks = python_blocks()
    assert len(blocks) == 2
    shutil.copy(ROOT / "blipdiff" / "assets" / "subjects" / "padlock.png", tmp_path / "my_dog.png")
    quick = [block.replace('speed="balanced"', 'speed="fast"') for block in blocks]
    quick = [block.replace("seed=7)", "seed=7, steps=2, count=1)") for block in quick]
    assert all(one != other for one, other in zip(quick, blocks, strict=True))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    asked = [sys.executable, "-W", "default", "-c", "\n".join([WATCH, *quick, CHECK])]
    done = subprocess.run(asked, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Picture(" in done.stdout
    lines = [
        line for line in re.split(r"[\r\n]+", done.stderr) if line.strip() and "it/s" not in line and "s/it" not in line
    ]
    assert not lines, done.stderr
