"""Edits as they are run: their progress, in what order they come, and two of them side by side."""

from threading import Thread

import numpy as np
import pytest

from blipdiff.conditioning.subject import SubjectPhoto
from pipelines.edit.request import EditRequest
from pipelines.inputs import Input
from pipelines.studio import Studio
from pipelines.task import Progress, Result
from tests.support.jobs import events_of, pixels_of, results_in, results_of
from tests.support.tiny_models import photo, tiny_model


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


def asked(**changes: object) -> EditRequest:
    values = {"source": "dog", "target": "tiger", "prompt": "on a beach", "steps": 3, "guidance": 3.0, "seed": 5}
    return EditRequest(**{**values, **changes})  # type: ignore[arg-type]


def test_progress_counts_inversion_and_edit_of_every_photo(studio: Studio) -> None:
    photos = [Input(photo(1, (30, 50)), "tall"), Input(photo(2, (50, 30)), "wide")]
    events = list(events_of(studio, asked(), source=photos, preview_every=1))
    steps = [event for event in events if isinstance(event, Progress)]
    assert [one.step for one in steps] == list(range(1, 13))
    assert {one.steps for one in steps} == {12}
    assert [len(one.previews) for one in steps[:6]] == [0, 0, 0, 2, 2, 2]
    edits = [(one.name, one.picture.image.size) for one in results_in(events)]
    assert edits == [("dog-to-tiger-tall", (30, 50)), ("dog-to-tiger-wide", (50, 30))]
    assert isinstance(events[6], Result)


def test_two_edits_in_two_threads_are_what_each_is_alone(studio: Studio) -> None:
    subject = studio.subject([SubjectPhoto(photo(0), "tiger")])
    runs = [
        lambda: results_of(studio, asked(strength=0.2, from_prompt=True), subject=subject),
        lambda: results_of(studio, asked(strength=0.9), subject=subject, source=photo(4, (48, 32))),
    ]

    def picture(place: int) -> np.ndarray:
        return pixels_of(runs[place]()[-1])

    alone, together = [picture(0), picture(1)], dict[int, np.ndarray]()
    threads = [Thread(target=lambda place=place: together.update({place: picture(place)})) for place in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(together[place], alone[place]) for place in (0, 1))
