"""The environment of the applications: read and set here, and nowhere else."""

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from blipdiff.errors import ConfigError

OUTPUT, MODEL, DOWNLOAD = "BLIPDIFF_OUTPUT", "BLIPDIFF_MODEL", "BLIPDIFF_DOWNLOAD"
LIBRARY, HISTORY, PRESETS = "BLIPDIFF_LIBRARY", "BLIPDIFF_HISTORY", "BLIPDIFF_PRESETS"
AUTH, TOKEN = "BLIPDIFF_AUTH", "BLIPDIFF_TOKEN"

_SWITCH = {"": False, "0": False, "no": False, "false": False, "1": True, "yes": True, "true": True}


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for the whole program; without `download` nothing is ever fetched."""

    output: Path = Path("outputs")
    model: str = "mini"
    download: bool = False
    library: Path = Path("subjects")
    presets: Path = Path("presets")  # of one's own, beside the bundled ones
    history: Path = Path("history")  # of the queue and of what was drawn
    auth: str | None = field(default=None, repr=False)  # USER:PASSWORD for the page
    token: str | None = field(default=None, repr=False)


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings that environment variables ask for: BLIPDIFF_OUTPUT, BLIPDIFF_MODEL, BLIPDIFF_DOWNLOAD,
    BLIPDIFF_LIBRARY, BLIPDIFF_PRESETS, BLIPDIFF_HISTORY, BLIPDIFF_AUTH, BLIPDIFF_TOKEN.

    Raises: ConfigError for a switch that is neither on nor off.
    """
    given = os.environ if environment is None else environment
    switch = given.get(DOWNLOAD, "").strip().lower()
    if switch not in _SWITCH:
        raise ConfigError(f"{DOWNLOAD} is '{given[DOWNLOAD]}'; set it to 1 or 0.")
    return Settings(
        output=Path(given.get(OUTPUT) or Settings().output).expanduser(),
        model=given.get(MODEL) or Settings().model,
        download=_SWITCH[switch],
        library=Path(given.get(LIBRARY) or Settings().library).expanduser(),
        presets=Path(given.get(PRESETS) or Settings().presets).expanduser(),
        history=Path(given.get(HISTORY) or Settings().history).expanduser(),
        auth=given.get(AUTH) or None,
        token=given.get(TOKEN) or None,
    )


def silence_libraries(settings: Settings, environment: MutableMapping[str, str] | None = None) -> None:
    """Keeps the libraries from calling out: usage statistics always, the hub unless downloads are wanted.

    Call it first: they read the environment when they are imported.
    """
    given = os.environ if environment is None else environment
    given["GRADIO_ANALYTICS_ENABLED"] = "False"
    given["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if not settings.download:
        given["HF_HUB_OFFLINE"] = "1"


def keep_uploads_in(folder: str, environment: MutableMapping[str, str] | None = None) -> None:
    """Has Gradio keep what browsers send and fetch in this folder; call it before a page is built."""
    given = os.environ if environment is None else environment
    given["GRADIO_TEMP_DIR"] = folder
    given["GRADIO_EXAMPLES_CACHE"] = str(Path(folder) / "examples")
