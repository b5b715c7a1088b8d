"""The best of several pictures: scored by what draws none of them, ordered by both scores, and none left out."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from blipdiff.checkpoints import save_model
from blipdiff.checkpoints.additions import Additions
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.language.engines import load_engine
from blipdiff.language.verdicts import place_share
from pipelines.choosing import BEST, Chooser
from pipelines.controls.settings import ControlSettings
from pipelines.generate.request import GenerateRequest
from pipelines.inputs import Input
from pipelines.job import Job
from pipelines.job import run as run_job
from pipelines.metadata import read_metadata, repeat
from pipelines.pictures import save_picture
from pipelines.studio import Studio
from pipelines.stylize.request import StylizeRequest
from pipelines.task import Event, Notice, Result, Sheet
from tests.support.studios import asked, pixels
from tests.support.tiny_models import photo, tiny_controlnet, tiny_model

SUBJECTS = Path(str(files("blipdiff"))) / "assets" / "subjects"


class Matches:
    """An engine that finds the brightest pictures the likest, and remembers what it was asked."""

    name, about = "brightness", ""

    def __init__(self) -> None:
        self.texts = set[str]()

    def matches(self, picture: Image.Image, texts: Sequence[str]) -> list[float]:
        self.texts |= set(texts)
        return [float(np.asarray(picture).mean()) / 255] * len(texts)


def subject() -> Image.Image:
    """A blue disc on white."""
    picture = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(picture).ellipse((12, 12, 52, 52), fill=(20, 40, 220))
    return picture


@pytest.fixture
def studio() -> Studio:
    found = Studio(tiny_model())
    found.chooser = Chooser(found.model, found.references, Matches())  # type: ignore[arg-type]
    return found


def events(studio: Studio, **changes: object) -> list[Event]:
    request = asked(**{"count": 4, "best": 2, **changes})
    return list(run_job(studio, Job.of(request, subject=SubjectPhoto(subject(), "ball"))))


def test_every_picture_is_scored_and_sheet_and_words_name_the_best_first(studio: Studio, tmp_path: Path) -> None:
    found = events(studio)
    results = [one for one in found if isinstance(one, Result)]
    (sheet,) = (one for one in found if isinstance(one, Sheet))
    (words,) = (one.text for one in found if isinstance(one, Notice) and one.text.startswith("The best 2 of 4: "))
    assert [one.picture.seed for one in results] == [0, 1, 2, 3]
    for one in results:
        told = one.picture.metadata()["scores"]
        assert told == dict(one.facts)
        assert told["prompt"] == pytest.approx(np.asarray(one.picture.image).mean() / 255, abs=1e-4)
        assert told["together"] == pytest.approx(told["prompt"] * told["subject"], abs=2e-4)
        assert one.label.startswith(f"prompt {told['prompt']:.2f}, subject {told['subject']:.2f}")
    order = sorted(results, key=lambda one: -one.facts["together"])
    assert words.count("seed") == 2
    assert words.index(f"seed {order[0].picture.seed} ") < words.index(f"seed {order[1].picture.seed} ")
    assert sheet.kind == BEST
    sheet.write(tmp_path / "best.png")
    assert Image.open(tmp_path / "best.png").height > 2 * 16  # the best, and the others below
    assert studio.chooser._engine.texts == {"a dog on a beach"}  # type: ignore[union-attr]


def test_scores_are_kept_in_the_file_and_the_pictures_are_those_of_before(studio: Studio, tmp_path: Path) -> None:
    chosen = [one for one in events(studio) if isinstance(one, Result)]
    plain = [one for one in events(studio, best=0) if isinstance(one, Result)]
    assert [pixels(one.picture).tolist() for one in chosen] == [pixels(one.picture).tolist() for one in plain]
    assert all(one.picture.scores is None and not one.facts and not one.label for one in plain)
    path = save_picture(chosen[1].picture, tmp_path / "a.png")
    assert read_metadata(path)["scores"] == dict(chosen[1].facts)
    again = [one for one in run_job(studio, repeat(path)) if isinstance(one, Result)]
    assert [pixels(one.picture).tolist() for one in again] == [pixels(chosen[1].picture).tolist()]


def test_a_picture_that_shows_the_subject_is_liker_than_one_that_does_not(studio: Studio) -> None:
    inside, notices = studio.chooser.subjects([Input(SubjectPhoto(subject(), "ball"), "ball")])
    assert notices == []
    moved = Image.new("RGB", (64, 64), "white")
    moved.paste(subject().crop((10, 10, 54, 54)), (16, 18))
    likeness = [studio.chooser.scores(one, "ball", "", inside).subject for one in (subject(), moved, photo(3))]
    assert likeness[0] is not None and likeness[1] is not None and likeness[2] is not None
    assert likeness[0] > likeness[2]
    assert likeness[1] > likeness[2]
    assert all(0 <= one <= 1 for one in likeness if one is not None)


def test_a_card_without_a_photo_is_chosen_by_the_prompt_alone_which_is_said(studio: Studio) -> None:
    card = studio.subject([SubjectPhoto(subject(), "ball")])
    job = Job.of(asked(count=2, best=1), subject=card)
    found = list(run_job(studio, job))
    assert any("chosen by the prompt alone" in one.text for one in found if isinstance(one, Notice))
    assert all("subject" not in one.facts for one in found if isinstance(one, Result))


def test_a_photo_of_weight_0_is_not_looked_at(studio: Studio) -> None:
    both = [Input(SubjectPhoto(subject(), "ball"), weight=1.0), Input(SubjectPhoto(photo(3), "ball"), weight=0.0)]
    assert len(studio.chooser.subjects(both)[0]) == 1


def test_the_bundled_describer_scores_where_nobody_else_is_named() -> None:
    studio = Studio(tiny_model())
    (first, *_) = (one for one in events(studio, count=1, best=1) if isinstance(one, Result))
    assert first.facts["by"] == "mini-describe"
    describer = load_engine().describer  # type: ignore[attr-defined]
    expected = place_share(describer, describer.patches([first.picture.image]), "dog", "on a beach")
    assert first.facts["prompt"] == pytest.approx(expected, abs=1e-4)


def test_more_best_ones_than_pictures_are_refused_and_chosen_jobs_are_drawn_alone() -> None:
    for kind in (GenerateRequest, StylizeRequest):
        with pytest.raises(ConfigError, match="best 4 of 2 pictures"):
            kind(category="dog", count=2, best=4)
    assert GenerateRequest(category="dog", count=1).of_a_row() is not None
    assert GenerateRequest(category="dog", count=1, best=1).of_a_row() is None


def test_a_judge_that_is_not_there_is_refused_as_the_model_is_opened(tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path / "model")
    with pytest.raises(ConfigError, match="no engine 'oracle'"):
        Studio.open(tmp_path / "model", device="cpu", additions=Additions.of(judge="oracle"))
    with pytest.raises(CheckpointError, match="blip-vqa needs BLIP for questions"):
        Studio.open(tmp_path / "model", device="cpu", additions=Additions.of(judge=f"blip-vqa={tmp_path / 'none'}"))
    own = Studio.open(tmp_path / "model", device="cpu", additions=Additions.of(judge="mini-describe"))
    (one,) = (event for event in events(own, count=1, best=1) if isinstance(event, Result))
    assert one.facts["by"] == "mini-describe"


def test_stylized_pictures_are_chosen_too(studio: Studio, tmp_path: Path) -> None:
    tiny_controlnet().save_pretrained(tmp_path / "net")
    controls = (ControlSettings(control=str(tmp_path / "net"), preprocessor="none"),)
    request = StylizeRequest(category="dog", prompt="on a beach", count=2, best=1, steps=1, controls=controls)
    job = Job.of(request, subject=SubjectPhoto(subject(), "ball"), structure=photo(1))
    found = list(run_job(studio, job))
    assert [sorted(one.facts) for one in found if isinstance(one, Result)] == [
        ["by", "prompt", "subject", "together"]
    ] * 2
    assert len([one for one in found if isinstance(one, Sheet)]) == 1


def placed(subject: Image.Image, side: int, ground: tuple[int, int, int]) -> Image.Image:
    """A cut-out, small, on a ground."""
    picture = Image.new("RGB", (128, 128), ground)
    small = subject.resize((side, side), Image.Resampling.LANCZOS)
    picture.paste(small, (128 - side - 10, 128 - side - 6), small)
    return picture


def test_a_subject_is_known_again_on_another_ground_from_others_and_from_itself_in_other_colours() -> None:
    studio = Studio.open("mini", device="cpu", dtype="float32")
    padlock, umbrella, tractor = (Image.open(SUBJECTS / f"{name}.png") for name in ("padlock", "umbrella", "tractor"))
    (inside,), _ = studio.chooser.subjects([Input(SubjectPhoto(padlock, "padlock"), "padlock")])
    red, green, blue, alpha = padlock.split()
    turned = Image.merge("RGBA", (blue, red, green, alpha))
    for side, ground in ((100, (90, 160, 70)), (84, (40, 40, 60))):
        right, *wrong = (
            studio.chooser.scores(placed(one, side, ground), "padlock", "", [inside]).subject
            for one in (padlock, umbrella, tractor, turned)
        )
        assert right is not None
        assert all(right > one + 0.05 for one in wrong if one is not None)
