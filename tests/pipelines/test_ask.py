"""Questions in Python, as the documentation shows them."""

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.bundled


def test_the_pages_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "ask.md").read_text(), re.MULTILINE | re.DOTALL)
    shutil.copy(ROOT / "blipdiff" / "assets" / "subjects" / "balloon.png", tmp_path / "my_dog.png")
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "docs/ask.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith("what colour is it? red")
    with Image.open("looked.png") as heat, Image.open("my_dog.png") as photo:
        assert heat.size == photo.size
