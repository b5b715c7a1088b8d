"""What whoever runs the server looks at, and what programs ask first: tasks, models, health, figures."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, PlainTextResponse

from app.api.callers import Reader
from app.api.described import described
from app.api.views import API
from app.jobs.workshop import Workshop
from blipdiff import __version__

router = APIRouter(tags=["operation"])


@router.get("/healthz")
def health(request: Request) -> JSONResponse:
    """Whether the server lives and its workers draw; open to whoever asks.

    What is away and waited for, the database or the results' place, is told beside that: nothing is lost meanwhile.
    """
    workshop: Workshop = request.app.state.workshop
    lives = all(worker.is_alive for worker in workshop.workers)
    told = {"status": "ok" if lives else "a worker has ended"}
    if workshop.queue.data.is_away or workshop.history.data.is_away:
        told["database"] = "The database does not answer; jobs wait until it does."
    if workshop.history.shelf is not None and workshop.history.shelf.outbox.trouble is not None:
        told["results"] = "The results' place does not answer; pictures are kept on this machine until it does."
    return JSONResponse(told, 200 if lives else 503)


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
def metrics(request: Request, _caller: Reader) -> PlainTextResponse:
    """Figures in Prometheus' text format."""
    return PlainTextResponse(
        request.app.state.figures.text().decode(), media_type="text/plain; version=0.0.4; charset=utf-8"
    )
