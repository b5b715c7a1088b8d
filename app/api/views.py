"""What the interface answers: jobs, results and events as JSON."""

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from app.jobs.entries import Entry
from app.jobs.events import JobEvent
from app.jobs.tickets import Standing, Ticket
from app.jobs.workshop import Workshop

API = "/api/v1"


def job_view(workshop: Workshop, one: Ticket, standings: Mapping[str, Standing] | None = None) -> dict[str, Any]:
    """A job: its state, its place in the line, and what came of it so far."""
    standing = None
    if not one.has_ended:
        standing = (workshop.standings() if standings is None else standings).get(one.id)
    running = workshop.broadcast.running(one.id) if one.state == "drawing" else None
    address = f"{API}/jobs/{one.id}"
    return {
        "id": one.id,
        "state": one.state,
        "task": one.task,
        "model": one.model,
        "name": one.name,
        "group": workshop.queue.groups.of(one.id),
        "owner": one.owner,
        "client": one.client,
        "source": one.source,
        "priority": one.priority,
        "place": None if standing is None else standing.place,
        "seconds_left": _seconds(standing, running),
        "step": one.steps if one.state == "done" else one.step if running is None else running.step,
        "steps": one.steps if running is None else running.steps,
        "count": one.count,
        "created": _when(one.created),
        "started": _when(one.started),
        "ended": _when(one.ended),
        "is_stopping": one.is_stopping,
        "error": one.error,
        "notices": list(one.notices),
        "results": [result_link(name) for name in workshop.results(one)],
        "sheets": [
            {"name": name, "url": f"{address}/sheets/{name}"} for name in workshop.history.sheets(one.id, one.owner)
        ],
        "url": address,
        "events": f"{address}/events",
    }


def result_link(name: str) -> dict[str, str]:
    """Where a result is."""
    return {"id": name, "url": f"{API}/results/{name}"}


def entry_view(entry: Entry, beside: Iterable[str] | None = None) -> dict[str, Any]:
    """A picture of the history."""
    found: dict[str, Any] = {
        **result_link(entry.id),
        "job": entry.job,
        "owner": entry.owner,
        "day": entry.day,
        "made": _when(entry.made / 1e9),
        "task": entry.task,
        "model": entry.model,
        "subject": entry.subject,
        "subject_key": entry.subject_key,
        "prompt": entry.prompt,
        "seed": entry.seed,
        "width": entry.width,
        "height": entry.height,
        "bytes": entry.bytes,
        "favourite": entry.is_favourite,
        "binned": entry.is_binned,
    }
    if beside is not None:
        found["beside"] = {part: f"{API}/results/{entry.id}?part={part}" for part in beside}
    return found


def event_text(event: JobEvent, *, previews: bool = True) -> str:
    """An event as a stream of server-sent events has it."""
    told: dict[str, Any] = {"job": event.job}
    if event.kind == "progress":
        told |= {"step": event.step, "steps": event.steps, "seeds": list(event.seeds)}
        told["seconds_left"] = None if event.seconds_left is None else round(event.seconds_left, 2)
        if previews and event.previews:
            told["previews"] = {str(seed): _data_url(jpeg) for seed, jpeg in event.previews.items()}
    elif event.kind == "state":
        told |= {"state": event.text, "error": event.error}
    elif event.kind == "result":
        told |= result_link(event.name) | {"label": event.text}
    elif event.kind == "sheet":
        told |= {"name": event.name, "url": f"{API}/jobs/{event.job}/sheets/{event.name}"}
    else:
        told["text"] = event.text
    return server_sent(event.kind, told)


def server_sent(kind: str, told: Any) -> str:
    """One server-sent event."""
    return f"event: {kind}\ndata: {json.dumps(told, ensure_ascii=False)}\n\n"


def _data_url(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _seconds(standing: Standing | None, running: JobEvent | None) -> float | None:
    seconds = running.seconds_left if running is not None else None
    if seconds is None and standing is not None:
        seconds = standing.seconds
    return None if seconds is None else round(seconds, 2)


def _when(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
