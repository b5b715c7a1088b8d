"""What holds for the whole program: its environment and its settings file, read and set here, and nowhere else."""

import json
import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blipdiff import ranges
from blipdiff.errors import ConfigError
from blipdiff.outputs import written_file

OUTPUT, MODEL, DOWNLOAD = "BLIPDIFF_OUTPUT", "BLIPDIFF_MODEL", "BLIPDIFF_DOWNLOAD"
LIBRARY, HISTORY, PRESETS = "BLIPDIFF_LIBRARY", "BLIPDIFF_HISTORY", "BLIPDIFF_PRESETS"
MODELS, FILES = "BLIPDIFF_MODELS", "BLIPDIFF_FILES"
ENGINES = "BLIPDIFF_ENGINES"
ENGINE, CONVERTED = "BLIPDIFF_ENGINE", "BLIPDIFF_CONVERTED"
RESULTS, DATABASE = "BLIPDIFF_RESULTS", "BLIPDIFF_DATABASE"
AUTH, TOKEN = "BLIPDIFF_AUTH", "BLIPDIFF_TOKEN"
FILE = "BLIPDIFF_SETTINGS"  # where the settings file lies

LANGUAGE_COOKIE = "blipdiff-language"  # where a browser keeps the language that was chosen on the page
LANGUAGES, THEMES = ("auto", "en", "zh"), ("auto", "light", "dark")  # auto: as the browser has it
_FOLDERS = ("output", "library", "presets", "history", "models")
STORED = (
    "model",
    *_FOLDERS,
    "files",
    "results",
    "database",
    "engine",
    "space",
    "previews",
    "language",
    "theme",
)  # in the file
_BY_ENVIRONMENT = {
    "model": MODEL, "output": OUTPUT, "library": LIBRARY, "presets": PRESETS, "history": HISTORY, "models": MODELS,
    "files": FILES, "engine": ENGINE, "results": RESULTS, "database": DATABASE,
}  # fmt: skip
_LONGEST = 4096  # letters

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
    models: Path = Path("models")  # own ones: merged, personalized
    files: str = "files"  # folders of LoRAs and the like, as PATH has them; the first one takes uploads
    results: str | None = None  # a folder or a bucket's URL that several machines see, for the history's files
    database: str | None = field(default=None, repr=False)  # the URL of one that several servers share
    space: float | None = None  # GB of pictures in the history; None: no limit
    previews: bool = True  # pictures are seen while they are drawn
    language: str = "auto"
    theme: str = "auto"
    engines: str = ""  # that page and interface offer to answer questions, beside the bundled one
    engine: str = "auto"  # that computes the networks: torch, openvino
    converted: Path | None = None  # where networks are kept that OpenVINO computes; None: the library's own place
    auth: str | None = field(default=None, repr=False)  # USER:PASSWORD for the page
    token: str | None = field(default=None, repr=False)

    @property
    def file_folders(self) -> list[Path]:
        """The folders of `files`."""
        return [Path(one.strip()).expanduser() for one in self.files.split(os.pathsep) if one.strip()]


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """What the settings file says, and what environment variables say instead: BLIPDIFF_OUTPUT, BLIPDIFF_MODEL,
    BLIPDIFF_DOWNLOAD, BLIPDIFF_LIBRARY, BLIPDIFF_PRESETS, BLIPDIFF_HISTORY, BLIPDIFF_MODELS, BLIPDIFF_FILES,
    BLIPDIFF_RESULTS, BLIPDIFF_DATABASE, BLIPDIFF_ENGINES, BLIPDIFF_ENGINE, BLIPDIFF_CONVERTED, BLIPDIFF_AUTH,
    BLIPDIFF_TOKEN.

    Raises: ConfigError for a switch that is neither on nor off, and for a settings file that cannot be read.
    """
    given = os.environ if environment is None else environment
    switch = given.get(DOWNLOAD, "").strip().lower()
    if switch not in _SWITCH:
        raise ConfigError(f"{DOWNLOAD} is '{given[DOWNLOAD]}'; set it to 1 or 0.")
    known = stored_settings(environment) | {name: given[key] for name, key in _BY_ENVIRONMENT.items() if given.get(key)}
    folders = {name: Path(known[name]).expanduser() for name in _FOLDERS if name in known}
    return Settings(
        **{**known, **folders},
        download=_SWITCH[switch],
        engines=given.get(ENGINES, ""),
        converted=Path(given[CONVERTED]).expanduser() if given.get(CONVERTED) else None,
        auth=given.get(AUTH) or None,
        token=given.get(TOKEN) or None,
    )


def settings_file(environment: Mapping[str, str] | None = None) -> Path | None:
    """Where a person's settings lie: BLIPDIFF_SETTINGS, or the system's place for them; None where there is none."""
    given = os.environ if environment is None else environment
    if given.get(FILE):
        return Path(given[FILE]).expanduser()
    places = (given.get("XDG_CONFIG_HOME"), given.get("APPDATA"), given.get("HOME") and f"{given['HOME']}/.config")
    home = next((place for place in places if place), None)
    return None if home is None else Path(home) / "blipdiff" / "settings.json"


def stored_settings(environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What stands in the settings file; nothing where there is none.

    Raises: ConfigError for a file that cannot be read, and for a value that is out of its range.
    """
    path = settings_file(environment)
    if path is None or not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ConfigError("there is no list of settings in it")
        return {name: checked_setting(name, found[name]) for name in STORED if name in found}
    except (OSError, ValueError, ConfigError) as reason:
        raise ConfigError(f"The settings file {path} cannot be read ({reason}); mend it, or delete it.") from reason


def save_settings(changes: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Path:
    """The settings file with these changes: whole, or as it was. Gives its path.

    Raises: ConfigError for a value that is out of its range, OutputError when the file cannot be written.
    """
    path = settings_file(environment)
    if path is None:
        raise ConfigError(f"There is no place for a settings file here; {FILE} names one.")
    fresh = {name: checked_setting(name, value) for name, value in changes.items()}
    with written_file(path) as part:
        kept = stored_settings(environment) | fresh
        part.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def fixed_settings(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The settings that environment variables hold, whatever the file says: the variable of each."""
    given = os.environ if environment is None else environment
    return {name: key for name, key in _BY_ENVIRONMENT.items() if given.get(key)}


def checked_setting(name: str, value: Any) -> Any:
    """The value itself, as the file keeps it. Raises: ConfigError where it is out of the setting's range."""
    if name in ("model", "files", "results", "database", *_FOLDERS):
        if not isinstance(value, str) or not 0 < len(value.strip()) <= _LONGEST or not value.isprintable():
            shown = "no such thing" if name == "database" else f"{value!r:.80}"  # which may hold a password
            raise ConfigError(f"{name} is {shown}; expected a name or a path.")
        return value.strip()
    if name == "space":
        is_size = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
        if value is not None and not is_size:
            raise ConfigError(f"space is {value!r:.80}; expected a number of GB above 0, or nothing for no limit.")
        return value
    allowed: dict[str, tuple[object, ...]] = {
        "previews": (True, False), "language": LANGUAGES, "theme": THEMES, "engine": ranges.ENGINES,
    }  # fmt: skip
    if name not in allowed:
        raise ConfigError(f"There is no setting {name!r:.80}; there are: {', '.join(STORED)}.")
    if not isinstance(value, bool if name == "previews" else str) or value not in allowed[name]:
        raise ConfigError(f"{name} is {value!r:.80}; expected one of: {', '.join(map(str, allowed[name]))}.")
    return value


def silence_libraries(settings: Settings, environment: MutableMapping[str, str] | None = None) -> None:
    """Keeps the libraries from calling out: usage statistics always, the hub unless downloads are wanted.

    Call it first: they read the environment when they are imported.
    """
    given = os.environ if environment is None else environment
    given["GRADIO_ANALYTICS_ENABLED"] = "False"
    given["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if not settings.download:
        given["HF_HUB_OFFLINE"] = "1"


def take_large_pages(environment: MutableMapping[str, str] | None = None) -> None:
    """Has torch ask Linux for pages of 2 MiB, unless the environment says otherwise.

    Else every large result costs page faults anew, for its memory goes back as soon as it is used: 170,000 in a
    full-size step, a tenth of that with large pages. Call it before torch is imported.
    """
    given = os.environ if environment is None else environment
    given.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def keep_uploads_in(folder: str, environment: MutableMapping[str, str] | None = None) -> None:
    """Has Gradio keep what browsers send and fetch in this folder; call it before a page is built."""
    given = os.environ if environment is None else environment
    given["GRADIO_TEMP_DIR"] = folder
    given["GRADIO_EXAMPLES_CACHE"] = str(Path(folder) / "examples")


def judge_key(environment: Mapping[str, str] | None = None) -> str:
    """The key of a judge over HTTP, which is kept in the environment alone: BLIPDIFF_JUDGE_KEY."""
    return (os.environ if environment is None else environment).get("BLIPDIFF_JUDGE_KEY", "")
