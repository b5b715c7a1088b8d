"""The page is opened."""

import signal
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.cli.options import take_additions
from app.cli.runs.replicas import DESK, artists_of
from app.cli.terminal import say, warn
from app.doors.access import access_of
from app.doors.listening import listen
from app.jobs.opening import opener, shortages
from app.jobs.own_files import OwnFiles
from app.jobs.workshop import Machine
from app.launch import launch
from app.settings import read_settings


def ui(
    model: str,
    device: str,
    dtype: str,
    engine: str,
    download: bool,
    ray: str | None,
    replicas: str | None,
    folder: Path | None,
    host: str,
    port: int | None,
    auth: str | None,
    token: str | None,
    insecure: bool,
    allow_host: list[str] | None,
    mcp: bool,
    results: str | None,
    database: str | None,
    **asked: Any,
) -> None:
    """Runs the command."""
    settings = read_settings()
    access = access_of(host, auth=auth, token=token, is_insecure=insecure, names=allow_host or ())
    listening = listen(host, port)
    if insecure and not access.credentials.are_asked_for:
        warn(f"Everybody who reaches {host} can use the page, its subjects and this machine: --insecure.")
    files = OwnFiles(settings.file_folders)
    opening: dict[str, Any] = {
        "dtype": dtype,
        "engine": engine,
        "converted": settings.converted,
        "download": download,
        "additions": _additions(take_additions(asked)),
    }
    settings = replace(
        settings,
        history=folder or settings.history,
        results=results or settings.results,
        database=database or settings.database,
    )
    with ExitStack() as stack:
        artists = artists_of(
            stack, ray, replicas, [device],
            models=[model], opening=opening, files=files, memory=None, place=settings.history,
        )  # fmt: skip
        machine = Machine(
            [model],
            opener(**opening, files=files),
            [device if artists is None else DESK],
            is_warmed=True,
            shortage=shortages(dtype=dtype) if artists is None else lambda _name, _device: None,
            files=files,
            engines=settings.engines,
            artists=artists,
        )
        if access.credentials.token is not None:
            say("Open the page with ?token= and the token behind its address.")
        signal.signal(signal.SIGTERM, _stopped)
        launch(machine, settings, access=access, listening=listening, tell=say, speaks_mcp=mcp)


def _additions(given: dict[str, Any]) -> Any:
    """What goes on the model; None for nothing, which need not be known to open the page."""
    if not given:
        return None
    from blipdiff.checkpoints.additions import Additions  # which loads torch

    return Additions.of(**given)


def _stopped(_number: int, _frame: object) -> None:
    """Ends as Ctrl-C does."""
    raise KeyboardInterrupt
