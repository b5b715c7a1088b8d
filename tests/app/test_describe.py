"""What the bundled describer is not sure of is said to be so, and is not suggested."""

from pathlib import Path

import pytest

from app.ui.suggestions import Suggestions
from blipdiff.checkpoints.describer import load_describer
from blipdiff.images import open_picture
from blipdiff.models.describer import SURE, Description
from pipelines.describe import DescribeRequest, describe
from tests.support.command_line import Command
from tests.support.tiny_models import photo

pytest_plugins = ["tests.support.command_fixtures"]

SUBJECTS = Path(__file__).parents[2] / "blipdiff" / "assets" / "subjects"


@pytest.mark.parametrize(("chance", "sure"), [(SURE, True), (SURE - 0.01, False)])
def test_the_first_categorys_chance_decides(chance: float, sure: bool) -> None:
    assert Description("a dog", (("dog", chance), ("wolf", 0.1)), "a dog", 0.5).is_sure is sure
    assert not Description("a dog", (), "a dog", 0.5).is_sure


@pytest.mark.bundled
def test_no_wrong_names_are_suggested_for_the_bundled_subjects() -> None:
    describer, suggestions = load_describer(), Suggestions()
    for path in sorted(SUBJECTS.glob("*.png")):
        found = describe(describer, open_picture(path), DescribeRequest(count=4))
        assert found.is_sure or suggestions.of(str(path)) == []
        assert not found.is_sure or path.stem in suggestions.of(str(path))


@pytest.mark.bundled
def test_the_command_says_how_sure_it_is_and_what_it_knows(blipdiff: Command, tmp_path: Path) -> None:
    photo(0, (64, 64)).save(tmp_path / "noise.png")
    ended = blipdiff("describe", tmp_path / "noise.png")
    assert ended.code == 0
    assert "not sure" in ended.out
    assert "knows drawn things" in ended.out
    assert blipdiff("describe", tmp_path / "noise.png", "--json").answer["sure"] is False
