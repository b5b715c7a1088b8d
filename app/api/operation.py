"""What whoever runs the server looks at, and what programs ask first: tasks, models, health, figures."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, PlainTextResponse

from app.api.callers import Reader
from app.api.described import described
from app.api.views import API
from app.jobs.tickets import STATES
from app.jobs.workshop import Workshop
from blipdiff import __version__

router = APIRouter(tags=["operation"])


@router.get("/healthz")
def health(request: Request) -> JSONResponse:
    """Whether the server lives and its workers draw; open to whoever asks."""
    workshop: Workshop = request.app.state.workshop
    lives = all(worker.is_alive for worker in workshop.workers)
    return JSONResponse({"status": "ok" if lives else "a worker has ended"}, 200 if lives else 503)


@router.get(f"{API}/tasks")
def tasks(caller: Reader) -> dict[str, Any]:
    """All tasks, each with the JSON schema of its request and what it takes beside that."""
    return {"version": __version__, "models": list(caller.workshop.models.names), "tasks": described()}


@router.get(f"{API}/models")
def models(caller: Reader) -> dict[str, Any]:
    """The models that may be asked for, and the bytes of those that are open."""
    workshop = caller.workshop
    loaded = {name: size for worker in reversed(workshop.workers) for name, size in worker.artist.loaded.items()}
    return {"models": [{"name": name, "bytes": loaded.get(name)} for name in workshop.models.names]}


@router.get("/metrics")
def metrics(request: Request, caller: Reader) -> PlainTextResponse:
    """Figures in Prometheus' text format."""
    workshop = caller.workshop
    lines: list[str] = []

    def told(name: str, kind: str, text: str, values: dict[str, float]) -> None:
        lines.extend((f"# HELP blipdiff_{name} {text}", f"# TYPE blipdiff_{name} {kind}"))
        lines.extend(f"blipdiff_{name}{labels} {value:g}" for labels, value in values.items())

    told("jobs", "gauge", "Jobs in the queue's file.", {
        f'{{state="{state}"}}': workshop.queue.count((state,)) for state in STATES
    })  # fmt: skip
    counted = request.app.state.figures
    told("jobs_ended_total", "counter", "Jobs that are over, since the start.", {
        f'{{state="{state}"}}': number for state, number in sorted(counted.ended.items())
    } or {'{state="done"}': 0})  # fmt: skip
    told("job_seconds_total", "counter", "Seconds that jobs were drawn.", {"": counted.seconds})
    told("history_bytes", "gauge", "Bytes of the history's pictures.", {"": float(workshop.history.size)})
    told("workers", "gauge", "Devices that draw.", {"": len(workshop.workers)})
    told("model_bytes", "gauge", "Weights of the models that are open.", {
        f'{{model="{_escaped(name)}",device="{number}"}}': float(size)
        for number, worker in enumerate(workshop.workers) for name, size in worker.artist.loaded.items()
    })  # fmt: skip
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4; charset=utf-8")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
