"""One picture of the history, large, with its whole job to read and all that can be done with it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.jobs.entries import Entry
from app.jobs.tickets import time_of
from app.ui.bench import prompts_of
from app.ui.files import readable_settings
from app.ui.history.files import whole_url
from app.ui.history.grid import button, label_of
from app.ui.history.sending import Goal
from app.ui.markup import escaped, message
from app.ui.texts import retold, said
from pipelines.job import Job
from pipelines.parameters import parameters
from pipelines.requests import Sampling
from pipelines.task import task_named

VARIATIONS = {"little": 0.15, "much": 0.4}  # strengths


@dataclass(frozen=True, slots=True)
class Viewed:
    """What is known of the picture that is looked at.

    job: None where its file is damaged; newer, older: the ids of its neighbours, empty at the ends
    """

    entry: Entry
    job: Job | None
    newer: str
    older: str
    beside: Sequence[str] = ()


def viewed(one: Viewed, goals: Iterable[Goal], titles: Mapping[str, str], told: str = "") -> str:
    """The picture, its facts, and the buttons."""
    entry, label = one.entry, escaped(label_of(one.entry, titles))
    data = f'data-id="{entry.id}" data-newer="{one.newer}" data-older="{one.older}"'
    groups = [] if one.job is None else [_recalls(one.job), _again(one.job), *_sends(goals)]
    line = f'<div class="told" role="status">{told}</div>'
    return (
        f'<article class="viewed" {data}><div class="bar">'
        f"{button('newer', '‹', about=said('The newer one'), looks='' if one.newer else 'off')}"
        f"{button('older', '›', about=said('The older one'), looks='' if one.older else 'off')}"
        f"<h2>{escaped(entry.subject or titles.get(entry.task, entry.task))}</h2>{_own(one)}"
        f"{button('close', '✕', about=said('Close'))}</div>"
        f'<figure><img src="{whole_url(entry)}" alt="{label}"></figure>'
        f'<div class="side">{line}{_facts(one, titles)}{"".join(groups)}{_settings(one.job)}</div></article>'
    )


def words_of(job: Job) -> dict[str, str]:
    """What a job says in words, by the names of its parameters."""
    found = {name: getattr(job.request, name) for name in prompts_of(type(job.request))}
    return {name: value for name, value in found.items() if value}


def time_told(entry: Entry) -> str:
    """When it was asked for, in this machine's time."""
    return datetime.fromtimestamp(time_of(entry.job)).strftime("%Y-%m-%d %H:%M")


def _own(one: Viewed) -> str:
    entry = one.entry
    star = button("favourite", "★", about=said("Favourite"), looks="star")
    star = star.replace("<button", f'<button aria-pressed="{"true" if entry.is_favourite else "false"}"', 1)
    file = entry.path.rpartition("/")[2]
    load = f'<a class="load" href="{whole_url(entry)}" download="{escaped(file)}">{escaped(said("Download PNG"))}</a>'
    before = button("before", said("Before and after")) if "before" in one.beside else ""
    bin_ = button("restore", said("Restore")) if entry.is_binned else button("delete", said("Delete"), looks="stop")
    return f"{star}{load}{before}{bin_}"


def _facts(one: Viewed, titles: Mapping[str, str]) -> str:
    entry = one.entry
    facts: dict[str, str] = {said("Task"): titles.get(entry.task, entry.task)}
    if entry.subject:
        facts[said("Subject")] = entry.subject
    if one.job is not None:
        declared = parameters(type(one.job.request))
        facts |= {retold(declared[name].label): value for name, value in words_of(one.job).items()}
    seed = str(entry.seed)
    request = None if one.job is None else one.job.request
    if isinstance(request, Sampling) and request.variation:
        seed = said(
            "{seed}, varied by {strength} towards {other}",
            seed=seed, strength=f"{request.variation:g}", other=request.variation_seed + _index(one.job),
        )  # fmt: skip
    facts |= {
        said("Seed"): seed,
        said("Model"): entry.model,
        said("Size"): f"{entry.width} x {entry.height}, {entry.bytes / 1e6:.2f} MB",
        said("Drawn"): time_told(entry),
    }
    damaged = "" if one.job is not None else message(said("What its file tells of its job is damaged."), "bad")
    return f"{damaged}{_table(facts)}"


def _index(job: Job | None) -> int:
    return 0 if job is None else job.index or 0


def _recalls(job: Job) -> str:
    buttons = [button("recall", said("Everything"), part="all")]
    if "seed" in parameters(type(job.request)):
        buttons.append(button("recall", said("Only the seed"), part="seed"))
    if words_of(job):
        buttons.append(button("recall", said("Only the prompt"), part="prompt"))
    return _group(said("Recall"), buttons)


def _again(job: Job) -> str:
    if not isinstance(job.request, Sampling):
        return ""
    buttons = [
        button("vary", said("Vary a little"), how="little"),
        button("vary", said("Vary much"), how="much"),
        button("again", said("Another seed")),
    ]
    return _group(said("Draw more"), buttons)


def _sends(goals: Iterable[Goal]) -> list[str]:
    found: dict[str, list[str]] = {}
    for goal in goals:
        found.setdefault(goal.group, []).append(button("send", retold(goal.title), kind=goal.kind, to=goal.tab))
    groups = {
        "picture": said("Go on with it in"),
        "subject": said("Use as a subject in"),
        "structure": said("Follow its structure in"),
    }
    return [_group(title, found[kind]) for kind, title in groups.items() if kind in found]


def goals_told(goals: Iterable[Goal]) -> str:
    """The same buttons alone, for a picture that is no one's here."""
    return "".join(_sends(goals))


def _group(title: str, buttons: Sequence[str]) -> str:
    return f'<section class="does"><h3>{escaped(title)}</h3><div>{"".join(buttons)}</div></section>' if buttons else ""


def _settings(job: Job | None) -> str:
    """All of the request, and what was given beside it."""
    if job is None:
        return ""
    declared = parameters(type(job.request))
    told = {retold(one.label): _plain(getattr(job.request, name)) for name, one in declared.items()}
    for name, given in job.inputs.items():
        kind = task_named(job.task).inputs[name]
        words, label = [one.word or said("without a name") for one in given], retold(kind.label)
        if words:
            told[label if label not in told else said("{what} (given)", what=label)] = ", ".join(words)
    rows = {name: value for name, value in told.items() if value != ""}
    return f"<details><summary>{escaped(said('All settings'))}</summary>{_table(rows)}</details>"


def _plain(value: Any) -> str:
    if value is None:
        return said("the model's own")
    if isinstance(value, bool):
        return said("yes") if value else said("no")
    if isinstance(value, list | tuple):
        return ", ".join(_plain(one) for one in value)
    return str(readable_settings(value))


def _table(facts: Mapping[str, str]) -> str:
    rows = "".join(f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd></div>" for name, value in facts.items())
    return f'<dl class="facts">{rows}</dl>'
