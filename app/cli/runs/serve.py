"""The workshop is served."""

import signal
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.api.tokens import Tokens
from app.api.webhooks import checked_addresses
from app.cli.runs.replicas import DESK, artists_of
from app.cli.terminal import say, warn
from app.doors.access import access_of
from app.doors.listening import listen
from app.jobs.opening import opener, shortages
from app.jobs.own_files import OwnFiles
from app.jobs.workshop import Machine, Workshop
from app.server import check_reach
from app.server import serve as served
from app.settings import read_settings

_GB = 1_000_000_000


def serve(
    models: list[str] | None,
    device: list[str] | None,
    dtype: str,
    engine: str,
    download: bool,
    ray: str | None,
    replicas: str | None,
    folder: Path | None,
    memory: float | None,
    space: float | None,
    host: str,
    port: int | None,
    token: str | None,
    tokens: Path | None,
    insecure: bool,
    allow_host: list[str] | None,
    webhook: list[str] | None,
    mcp: bool,
    results: str | None,
    database: str | None,
) -> None:
    """Runs the command."""
    settings = read_settings()
    given = access_of(
        host, token=token or settings.token, is_insecure=insecure or tokens is not None, names=allow_host or ()
    )
    access, known = replace(given, is_insecure=insecure), Tokens.of(given.credentials.token, tokens)
    check_reach(host, known, access)
    addresses = checked_addresses(webhook or ())
    listening = listen(host, port)  # before anything slow
    if insecure and not known.are_asked_for:
        warn(f"Everybody who reaches {host} can draw here, and see all pictures: --insecure.")
    files, place = OwnFiles(settings.file_folders), folder or settings.history
    opening: dict[str, Any] = {
        "dtype": dtype,
        "engine": engine,
        "converted": settings.converted,
        "download": download or settings.download,
    }
    names, bytes_kept = models or [settings.model], None if memory is None else round(memory * _GB)
    kept = settings.space if space is None else space
    with ExitStack() as stack:
        artists = artists_of(
            stack, ray, replicas, device or ["auto"],
            models=names, opening=opening, files=files, memory=bytes_kept, place=place,
        )  # fmt: skip
        machine = Machine(
            names,
            opener(**opening, files=files),
            (device or ["auto"]) if artists is None else [DESK],
            bytes_kept,
            is_warmed=True,
            shortage=shortages(dtype=dtype) if artists is None else lambda _name, _device: None,
            files=files,
            engines=settings.engines,
            artists=artists,
        )
        workshop = Workshop(
            place,
            machine,
            library=settings.library,
            space=None if kept is None else round(kept * _GB),
            database=database or settings.database,
            results=results or settings.results,
        )
        signal.signal(signal.SIGTERM, _stopped)
        with served(
            workshop, access=access, tokens=known, listening=listening, webhooks=addresses, speaks_mcp=mcp
        ) as running:
            say(f"{running.url}/api/v1/tasks")
            running.wait()


def _stopped(_number: int, _frame: object) -> None:
    """Ends as Ctrl-C does."""
    raise KeyboardInterrupt
