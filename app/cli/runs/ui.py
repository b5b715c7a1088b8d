"""The page is opened."""

from typing import Any

from app.cli.options import take_additions
from app.cli.terminal import say, warn
from app.doors.access import access_of
from app.doors.listening import listen
from app.launch import launch
from blipdiff.checkpoints.additions import Additions
from pipelines.studio import Studio


def ui(
    model: str,
    device: str,
    dtype: str,
    download: bool,
    host: str,
    port: int | None,
    auth: str | None,
    token: str | None,
    insecure: bool,
    allow_host: list[str] | None,
    mcp: bool,
    **asked: Any,
) -> None:
    """Runs the command."""
    additions = Additions.of(**take_additions(asked))
    access = access_of(host, auth=auth, token=token, is_insecure=insecure, names=allow_host or ())
    listening = listen(host, port)  # before the model, which takes a while
    if insecure and not access.credentials.are_asked_for:
        warn(f"Everybody who reaches {host} can use the page, its subjects and this machine: --insecure.")

    studio = Studio.open(model, device=device, dtype=dtype, download=download, additions=additions)
    if access.credentials.token is not None:
        say("Open the page with ?token= and the token behind its address.")
    launch(studio, access=access, listening=listening, tell=say, speaks_mcp=mcp)
