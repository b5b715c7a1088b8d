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
from blipdiff.errors import BlipdiffError
from pipelines.job import Job


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture of the history: its file, and those of what stands beside it by what they are."""

    entry: Entry
    path: Path
    beside: Mapping[str, Path]
    label: str = ""


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


def drawn(workshop: Workshop, name: str, label: str = "") -> Drawn | None:
    """A result of this name; None for one that was thrown away."""
    history = workshop.history
    entry = history.find(name)
    try:
        return None if entry is None else Drawn(entry, history.file(entry), history.beside(entry), label)
    except BlipdiffError:
        return None


def how_far(view: View, *, is_model_open: bool = True) -> str:
    """A bar and a sentence, for a job that is not over."""
    if view.ticket.state == "waiting":
        return markup.progress(_waiting(view, is_model_open), None, 1)
    if view.ticket.is_stopping:
        return markup.message("Stopping after this step.")
    if view.step == 0:
        return markup.progress("Reading what was given" if is_model_open else "Opening the model", None, 1)
    if view.step == view.steps:
        return markup.progress("Finishing the pictures", view.step, view.steps)
    left = "" if view.seconds_left is None else f", about {duration(max(1, round(view.seconds_left)))} left"
    return markup.progress(f"Step {view.step} of {view.steps}{left}", view.step, view.steps)


def outcome(view: View) -> tuple[str, str]:
    """The last word on a job that is over, and its kind."""
    ticket = view.ticket
    if ticket.state == "failed":
        return ticket.error or "It failed.", "bad"
    if ticket.state == "cancelled":
        told = f"Cancelled after step {view.step} of {view.steps}." if view.step else "Cancelled before it began."
        return told, "plain"
    if not view.drawn:
        return "Nothing was drawn.", "good"
    paths, count = [one.path for one in view.drawn], len(view.drawn)
    where = f"as {paths[0]}" if count == 1 else f"in {paths[0].parent}"
    took = duration((ticket.ended or 0.0) - (ticket.started or 0.0))
    text = f"{count} {'picture' if count == 1 else 'pictures'} in {took}, saved {where}."
    return " ".join((text, *view.notices)), "good"


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _waiting(view: View, is_model_open: bool) -> str:
    if not is_model_open:
        return "Waiting for the model, which is being opened"
    if view.standing is None:
        return "Waiting"
    left = "" if view.standing.seconds is None else f", done in about {duration(max(1, round(view.standing.seconds)))}"
    return f"Waiting, place {view.standing.place} in the line{left}"
