"""The seam between a worker and where its jobs are drawn: another artist in the place of this process."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from app.jobs.artist import Artist, Begun, Here, Moved, Told
from app.jobs.facts import Facts
from app.jobs.models import Models
from app.jobs.tickets import Sender
from app.jobs.workshop import Workshop
from pipelines.job import Job
from pipelines.task import Notice, Result
from tests.support.studios import drawn, job
from tests.support.workshops import machine, pixels, tiny_studio


class Elsewhere:
    """Draws here, but loses its first run after so many results, and begins again."""

    def __init__(self, models: Models, lost_after: int) -> None:
        self.models = models
        self.warmed = 0
        self.begun: list[Told] = []
        self._own, self._lost_after = Here(models), lost_after

    @property
    def loaded(self) -> dict[str, int]:
        return {"tiny": 7}

    def warm(self, is_stopped: Callable[[], bool]) -> None:
        self.warmed += 1

    def is_open(self, model: str) -> bool:
        return self.models.named(model) == "tiny"

    def facts(self, model: str) -> Facts | None:
        return Facts.of(tiny_studio(self.models.named(model)))

    def drawn(self, one: Job, model: str, previews: int, is_stopped: Callable[[], bool]) -> Iterator[Told]:
        results = 0
        for event in self._own.drawn(one, model, previews, is_stopped):
            yield event
            self.begun += [event] if isinstance(event, Begun) else []
            results += isinstance(event, Result)
            if results == self._lost_after:
                break
        yield Notice("It is gone.")
        yield Notice("It is gone.")
        yield from self._own.drawn(one, model, previews, is_stopped)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[tuple[Workshop, Elsewhere]]:
    found: list[Elsewhere] = []

    def artists(models: Models) -> Sequence[Artist]:
        found.append(Elsewhere(models, 2))
        return found

    workshop = Workshop(tmp_path, machine(artists=artists, is_warmed=True), library=tmp_path / "subjects")
    workshop.start()
    workshop.wake()
    yield workshop, found[0]
    workshop.close()


def test_a_run_that_begins_again_neither_doubles_nor_loses_results(made: tuple[Workshop, Elsewhere]) -> None:
    workshop, _ = made
    name = workshop.submit(job(count=3, batch=1), Sender()).id
    heard = list(workshop.follow(name))
    assert [one.kind for one in heard if one.kind in ("result", "notice")] == ["result", "result", "notice", "result"]
    assert len({one.name for one in heard if one.kind == "result"}) == 3
    for one, other in zip(pixels(workshop, name), drawn(tiny_studio(), count=3, batch=1), strict=True):
        assert np.array_equal(one, other)


def test_what_is_open_elsewhere_is_told_as_if_it_were_here(made: tuple[Workshop, Elsewhere]) -> None:
    workshop, artist = made
    assert workshop.wait(workshop.submit(job(), Sender()).id, 60).state == "done"
    assert artist.warmed == 1
    assert workshop.is_open("") and not workshop.is_open("other")
    facts = workshop.facts()
    assert facts is not None and facts.fingerprint == tiny_studio().model.subject_fingerprint


def test_this_process_tells_when_it_begins_and_shows_previews_as_files() -> None:
    artist = Here(Models(("tiny",), lambda _name: tiny_studio()))
    told = list(artist.drawn(job(steps=4), "tiny", 2, lambda: False))
    assert isinstance(told[0], Begun)
    shown = [one for one in told if isinstance(one, Moved) and one.previews]
    assert shown and shown[0].previews[0].startswith(b"\xff\xd8")
    assert list(artist.drawn(job(steps=4), "tiny", 2, lambda: True)) == [Begun()]
