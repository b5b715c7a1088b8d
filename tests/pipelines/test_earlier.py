"""Pictures of earlier versions, made before there were jobs: read from metadata of version 1 and drawn again."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blipdiff.errors import ConfigError
from pipelines.job import Job, run
from pipelines.metadata import METADATA_VERSION, read_metadata, repeat
from pipelines.pictures import save_picture
from pipelines.studio import Studio
from pipelines.task import Notice
from tests.support.studios import pictures

RECORDED = Path(__file__).parents[1] / "recorded"
MODEL = RECORDED / "parity" / "blipdiffusion-controlnet-tiny"
PICTURES = sorted((RECORDED / "pictures").glob("*.png"))
PHOTO = Path(str(files("blipdiff"))) / "assets" / "subjects" / "croissant.png"


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio.open(MODEL, device="cpu", dtype="float32", folders=[MODEL])


def job_of_picture(path: Path) -> Job:
    job = repeat(path)
    return job.completed(source=[PHOTO]) if "photo" in path.name else job


def test_there_is_a_picture_of_every_task_that_had_one() -> None:
    told = [read_metadata(path) for path in PICTURES]
    assert {metadata["version"] for metadata in told} == {1}
    assert {repeat(path).task for path in PICTURES} == {"generate", "stylize", "edit", "blend", "scene"}


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_a_picture_of_an_earlier_version_is_drawn_again(path: Path, studio: Studio, tmp_path: Path) -> None:
    """Bit for bit on the processor that drew it; another one may round a level otherwise.

    An inversion under a random network is chaos: a weight that differs by a ten-millionth moves nine pixels of ten, and
    another processor or torch rounds so much otherwise. So an edited photo's pixels are compared with those drawn here
    a second time, and not with the recorded ones.
    """
    events = list(run(studio, job_of_picture(path)))
    assert any("does not say which U-Net" in event.text for event in events if isinstance(event, Notice))
    (picture,) = pictures(events)
    with Image.open(path) as recorded:
        before = np.asarray(recorded.convert("RGB")).astype(int)
    assert picture.seed == read_metadata(path)["seed"]
    if "photo" not in path.name:
        assert np.abs(np.asarray(picture.image).astype(int) - before).max() <= 1

    again = save_picture(picture, tmp_path / "again.png")
    assert read_metadata(again)["version"] == METADATA_VERSION
    job = repeat(again)
    job = job.completed(source=[PHOTO]) if "photo" in path.name else job
    (redrawn,) = pictures(run(studio, job))
    assert np.array_equal(np.asarray(redrawn.image), np.asarray(picture.image))
    assert redrawn.metadata() == picture.metadata()


def test_a_photo_that_is_not_in_the_metadata_is_asked_for(studio: Studio) -> None:
    path = RECORDED / "pictures" / "edit-photo.png"
    with pytest.raises(ConfigError, match="'croissant' is not kept in the job; give it again"):
        next(run(studio, repeat(path)))
    with pytest.raises(ConfigError, match="made of the photo croissant, which is not in its metadata"):
        repeat(path).completed()
    with pytest.raises(ConfigError, match="balloon is not the picture croissant"):
        repeat(path).completed(source=[PHOTO.with_name("balloon.png")])
    with pytest.raises(ConfigError, match="without a mask of its own"):
        repeat(path).completed(source=[PHOTO], mask=[PHOTO])
