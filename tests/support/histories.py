"""A history with a picture of each task."""

from pathlib import Path

from PIL import Image, ImageDraw

from app.jobs.history import History
from app.jobs.tickets import Sender, new_name
from app.jobs.workshop import Workshop
from blipdiff.conditioning.subject import SubjectPhoto
from pipelines.blend.request import BlendRequest
from pipelines.controls.settings import ControlSettings
from pipelines.edit.request import EditRequest
from pipelines.finish.request import RedrawRequest, RemoveBackgroundRequest, UpscaleRequest
from pipelines.generate.request import AttendRequest, GenerateRequest
from pipelines.job import Job, run
from pipelines.scene.request import SceneRequest
from pipelines.studio import Studio
from pipelines.stylize.request import StylizeRequest
from pipelines.task import Result, tasks
from tests.support.tiny_models import PIXELS, photo, tiny_controlnet


def job_of_each_task(net: Path | None = None) -> dict[str, Job]:
    """A job of few steps for each task; net: where a ControlNet for the tiny model is put, else Stylize is missing."""
    dog, cat = SubjectPhoto(photo(0), "dog"), SubjectPhoto(photo(1), "cat")
    picture, mask = photo(2, (PIXELS, PIXELS)), Image.new("L", (PIXELS, PIXELS))
    ImageDraw.Draw(mask).rectangle((0, 0, PIXELS // 2, PIXELS // 2), fill=255)
    plain = Image.new("RGB", (PIXELS, PIXELS), "white")
    ImageDraw.Draw(plain).rectangle((4, 4, PIXELS - 5, PIXELS - 5), fill="red")
    two = {"steps": 2, "seed": 7}
    beach = {"category": "dog", "prompt": "on a beach", "negative": "snow", "count": 1, **two}
    found = [
        Job.of(GenerateRequest(**beach), subject=dog),
        Job.of(AttendRequest(**beach), subject=dog),
        Job.of(
            EditRequest(source="cat", target="dog", prompt="on a sofa", count=1, **two), source=picture, subject=dog
        ),
        Job.of(BlendRequest(shape="one", prompt="on a beach", **two), subject=[dog, cat]),
        Job.of(
            SceneRequest(prompt="a {dog} and a {cat} on a beach", count=1, arrange="row", **two), subject=[dog, cat]
        ),
        Job.of(UpscaleRequest(category="dog", prompt="on a beach", count=1, **two), picture=picture, subject=dog),
        Job.of(
            RedrawRequest(category="dog", prompt="in the snow", count=1, **two), picture=picture, mask=mask, subject=dog
        ),
        Job.of(RemoveBackgroundRequest(), picture=plain),
    ]
    if net is not None:
        tiny_controlnet().save_pretrained(net)
        follows = (ControlSettings(control=str(net), preprocessor="tile"),)
        found.append(Job.of(StylizeRequest(controls=follows, **beach), subject=dog, structure=picture))
    assert len(found) - (net is not None) == len([one for one in tasks().values() if one.is_offered]) - 1
    return {job.task: job for job in found}


def fill(history: History, studio: Studio, jobs: dict[str, Job], owner: str = "local") -> dict[str, list[str]]:
    """Draws the jobs into the history; gives the names of each one's pictures, by its task."""
    found = {}
    for task, job in jobs.items():
        name = new_name()
        results = [event for event in run(studio, job) if isinstance(event, Result)]
        found[task] = [history.add(result, name, number, owner).id for number, result in enumerate(results)]
    return found


def drawn_in(workshop: Workshop, jobs: dict[str, Job]) -> dict[str, str]:
    """The same, asked of a workshop, whose queue keeps what pictures do not."""
    found = {}
    for task, job in jobs.items():
        ticket = workshop.wait(workshop.submit(job, Sender()).id, 60)  # one by one: their names tell their order
        found[task] = workshop.results(ticket)[0]
    return found
