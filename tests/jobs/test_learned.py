"""A subject is learned by a job in line: its card is a sheet, which is kept where the job is stopped."""

import time
from pathlib import Path

import pytest

from app.jobs.tickets import Sender
from app.jobs.workshop import Workshop
from blipdiff.conditioning.subject import SubjectEmbedding
from pipelines.generate.request import GenerateRequest
from pipelines.job import Job
from pipelines.personalize.request import PersonalizeRequest
from tests.support.learned import view
from tests.support.workshops import workshop


def asked(**changes: object) -> Job:
    request = PersonalizeRequest(**{"category": "dog", "steps": 4, "batch": 2, "rate": 0.05} | changes)
    return Job.of(request, photo=[view(0), view(1)]).opened()


def cards(made: Workshop, name: str) -> list[Path]:
    ticket = made.queue.ticket(name)
    return list(made.history.sheets(ticket.id, ticket.owner).values())


def test_a_job_learns_a_subject_that_other_jobs_draw(tmp_path: Path) -> None:
    with workshop(tmp_path) as made:
        name = made.submit(asked(), Sender()).id
        assert made.wait(name, 60).state == "done", made.queue.ticket(name)
        assert len(made.results(made.queue.ticket(name))) == 2
        [path] = cards(made, name)
        assert path.name == "card.safetensors"
        job = Job.of(GenerateRequest(category="dog", count=1, steps=2), subject=path).opened()
        drawn = made.submit(job, Sender()).id
        assert made.wait(drawn, 60).state == "done", made.queue.ticket(drawn)


def test_a_job_that_is_stopped_keeps_the_best_card_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.personalize.learning.CHECKED_EVERY", 2)
    with workshop(tmp_path) as made:
        name = made.submit(asked(steps=2000), Sender()).id
        end = time.monotonic() + 60
        while not cards(made, name) and time.monotonic() < end:
            time.sleep(0.02)
        made.cancel(name)
        assert made.wait(name, 30).state == "cancelled"
        [path] = cards(made, name)
        assert SubjectEmbedding.load(path).weights
