"""A job as its tab sees it: how far it is, what came of it so far, and what is said of that."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from app.jobs.entries import Entry
from app.jobs.events import JobEvent
from app.jobs.tickets import Standing, Ticket
from app.jobs.workshop import Workshop
from app.ui import markup
from app.ui.parts import Changes, Parts, Seen
from app.ui.texts import retold, said
from blipdiff.errors import BlipdiffError
from pipelines.job import Job
from pipelines.metadata import read_metadata
from pipelines.scores import Scores


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture of the history: its file, and those of what stands beside it by what they are."""

    entry: Entry
    path: Path
    beside: Mapping[str, Path]
    label: str = ""
    worth: float = 0.0  # what its scores come to: the best stand first


@dataclass(frozen=True, slots=True)
class View:
    """What there is to see of a job at one moment."""

    ticket: Ticket
    standing: Standing | None = None  # while it waits
    step: int = 0  # U-Net calls done; 0 while the inputs are read
    steps: int = 0
    seconds_left: float | None = None  # None before there is something to measure
    seeds: tuple[int, ...] = ()  # of the pictures being drawn
    previews: Mapping[int, bytes] = field(default_factory=dict)  # files of those seeds
    drawn: tuple[Drawn, ...] = ()
    sheets: Mapping[str, Path] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def moved_on(self, event: JobEvent) -> "View":
        """The view after a progress; previews stay while the same pictures are drawn."""
        kept = self.previews if event.seeds == self.seeds else {}
        return replace(
            self,
            step=event.step,
            steps=event.steps,
            seconds_left=event.seconds_left,
            seeds=event.seeds,
            previews=dict(event.previews) or kept,
        )


class Shows(Protocol):
    """How a tab shows its jobs: `app.ui.runs.Runs`."""

    on: Parts
    tiles: Callable[[Drawn], list[Seen]]
    show: Callable[[Job, View], Changes]

    def gallery(self, pictures: Sequence[Seen]) -> Changes:
        """The pictures that are done."""

    def details(self, picture: Sequence[Any]) -> Changes:
        """What there is to know of one."""

    def at_work(self, view: View, *, is_model_open: bool, is_stage_new: bool = True) -> Changes:
        """While a job waits or is drawn."""

    def at_end(self, view: View, pictures: Sequence[Seen]) -> Changes:
        """When a job is over."""


def drawn(workshop: Workshop, name: str, label: str = "", worth: float = 0.0) -> Drawn | None:
    """A result of this name; None for one that was thrown away."""
    history = workshop.history
    entry = history.find(name)
    try:
        return None if entry is None else Drawn(entry, history.file(entry), history.beside(entry), label, worth)
    except BlipdiffError:
        return None


def scored(one: Drawn) -> Drawn:
    """With the scores that the picture itself tells of, where it was chosen among others."""
    try:
        scores = Scores.of(read_metadata(one.path)["scores"])
    except (BlipdiffError, KeyError, TypeError, ValueError):
        return one
    return replace(one, label=scores.label(), worth=scores.together)


def how_far(view: View, *, is_model_open: bool = True) -> str:
    """A bar and a sentence, for a job that is not over."""
    if view.ticket.state == "waiting":
        return markup.progress(_waiting(view, is_model_open), None, 1)
    if view.ticket.is_stopping:
        return markup.message(said("Stopping after this step."))
    if view.step == 0:
        return markup.progress(said("Reading what was given") if is_model_open else said("Opening the model"), None, 1)
    if view.step == view.steps:
        return markup.progress(said("Finishing the pictures"), view.step, view.steps)
    at = {"step": view.step, "steps": view.steps}
    if view.seconds_left is None:
        text = said("Step {step} of {steps}", **at)
    else:
        text = said("Step {step} of {steps}, about {time} left", **at, time=duration(max(1, round(view.seconds_left))))
    return markup.progress(text, view.step, view.steps)


def outcome(view: View) -> tuple[str, str]:
    """The last word on a job that is over, and its kind."""
    ticket = view.ticket
    if ticket.state == "failed":
        return ticket.error or said("It failed."), "bad"
    if ticket.state == "cancelled":
        at = {"step": view.step, "steps": view.steps}
        if not view.step:
            return said("Cancelled before it began."), "plain"
        return said("Cancelled after step {step} of {steps}.", **at), "plain"
    if not view.drawn:
        return said("Nothing was drawn."), "good"
    paths, count = [one.path for one in view.drawn], len(view.drawn)
    took = duration((ticket.ended or 0.0) - (ticket.started or 0.0))
    if count == 1:
        text = said("1 picture in {time}, saved as {file}.", time=took, file=paths[0])
    else:
        text = said("{count} pictures in {time}, saved in {folder}.", count=count, time=took, folder=paths[0].parent)
    return " ".join((text, *map(retold, view.notices))), "good"


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 10:
        return said("{seconds} s", seconds=f"{seconds:.2g}")
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return said("{seconds} s", seconds=rest)
    return said("{minutes} min {seconds} s", minutes=minutes, seconds=rest)


def _waiting(view: View, is_model_open: bool) -> str:
    if not is_model_open:
        return said("Waiting for the model, which is being opened")
    if view.standing is None:
        return said("Waiting")
    place, seconds = view.standing.place, view.standing.seconds
    if seconds is None:
        return said("Waiting, place {place} in the line", place=place)
    time = duration(max(1, round(seconds)))
    return said("Waiting, place {place} in the line, done in about {time}", place=place, time=time)
