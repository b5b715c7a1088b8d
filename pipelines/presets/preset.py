"""Presets as values and as files: read with every value checked, written, made of a job."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from blipdiff.conditioning.prompt import checked_text
from blipdiff.errors import ConfigError, listed
from blipdiff.outputs import written_file
from pipelines.job import Job
from pipelines.parameters import WORDS, checked_values, parameters, plain, request_from
from pipelines.task import Task, task_named

SUFFIX = ".json"
PRESET_VERSION = 1
LONGEST_NAME, LONGEST_DESCRIPTION = 60, 500  # letters

_MOST_BYTES = 2**16
_KEYS = {"blipdiff", "version", "name", "description", "task", "values"}
_CONTROLS = "controls"  # the one field of requests beside parameters that presets hold
_ITS_OWN = ("seed", "variation", "variation_seed", "variation_of")  # of one picture


@dataclass(frozen=True, slots=True, eq=False)
class Preset:
    """Values of a task's request, with a name and a sentence about what they are for.

    values: by the parameters' names, each as the request holds it; what is not among them stays as it is

    Raises: ConfigError for a name, a task or a value that cannot be.
    """

    name: str
    task: str
    values: Mapping[str, Any]
    description: str = ""

    def __post_init__(self) -> None:
        for what, text, most in (
            ("name", self.name, LONGEST_NAME),
            ("description", self.description, LONGEST_DESCRIPTION),
        ):
            if not isinstance(text, str) or len(text) > most:
                raise ConfigError(f"A preset's {what} is a text of at most {most} letters, not {text!r:.60}.")
            checked_text(text, f"preset's {what}")
        if not self.name.strip():
            raise ConfigError("The preset has no name.")
        kind = task_named(self.task).request
        values = checked_values(kind, self.values)
        own = sorted(set(values) - {*parameters(kind), _CONTROLS})
        if own:  # what one picture tells of itself
            raise ConfigError(f"A preset cannot hold {listed(own)}.")
        object.__setattr__(self, "values", values)

    @classmethod
    def of_job(cls, job: Job, name: str, description: str = "", *, words: bool = False) -> "Preset":
        """What a job asks for beside its subject and its seed, as far as it differs from what is usual.

        words: whether its prompts are kept too
        """
        values = {item.name: getattr(job.request, item.name) for item in fields(job.request) if item.init}
        return cls.of_values(task_named(job.task), values, name, description, words=words)

    @classmethod
    def of_values(
        cls, task: Task, values: Mapping[str, Any], name: str, description: str = "", *, words: bool = False
    ) -> "Preset":
        """The same of values as they were set."""
        declared, usual = parameters(task.request), {item.name: item.default for item in fields(task.request)}
        found = {}
        for key, value in values.items():
            one = declared.get(key)
            is_said = one is not None and (one.is_category or (one.group == WORDS and not one.choices))
            if key in _ITS_OWN or value == usual[key] or (is_said and isinstance(value, str) and not words):
                continue
            if one is not None or key == _CONTROLS:
                found[key] = value
        if values.get("step_table"):  # steps of one model: on another one the speed says them
            found = {key: value for key, value in found.items() if key not in ("steps", "scheduler")}
        found.pop("category", None)
        return cls(name, task.name, plain(found), description)

    def request(self, **given: Any) -> Any:
        """The request of its task with these values; what is given wins. Raises: as the request."""
        return request_from(task_named(self.task).request, {**plain(self.values), **given})

    def to_json(self) -> str:
        """The preset as text."""
        told = {"blipdiff": "preset", "version": PRESET_VERSION, "name": self.name, "description": self.description}
        return json.dumps({**told, "task": self.task, "values": plain(dict(self.values))}, indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes, name: str = "The preset") -> "Preset":
        """What `to_json` wrote; `name` says in an error what it is.

        Raises: ConfigError for what is no preset, one of a newer version, or one whose values cannot be.
        """
        if len(text) > _MOST_BYTES:
            raise ConfigError(f"{name} is too large for a preset, which has at most {_MOST_BYTES // 1024} KiB.")
        try:
            found = json.loads(text, parse_constant=_refused)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{name} is no preset: it is no JSON.") from error
        if not isinstance(found, dict) or found.get("blipdiff") != "preset":
            raise ConfigError(f"{name} is no preset: the key 'blipdiff' does not say so.")
        version = found.get("version")
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise ConfigError(f"{name} is no preset: it has no version.")
        if version > PRESET_VERSION:
            raise ConfigError(f"{name} is of version {version}; this blipdiff reads up to {PRESET_VERSION}.")
        unknown = sorted(set(found) - _KEYS)
        if unknown or not isinstance(found.get("values"), dict):
            wrong = f"it has a key {unknown[0]!r} that no preset has" if unknown else "its values are missing"
            raise ConfigError(f"{name} is no preset: {wrong}.")
        told = (found.get(key, "") for key in ("name", "task", "description"))
        called, task, description = (one if isinstance(one, str) else repr(one) for one in told)
        try:
            return cls(called, task, found["values"], description)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from error

    @classmethod
    def read(cls, path: Path) -> "Preset":
        """The preset in a file. Raises: ConfigError for a file that is missing, and as `from_json`."""
        try:
            with path.open("rb") as stream:
                content = stream.read(_MOST_BYTES + 1)
        except (OSError, ValueError) as error:
            raise ConfigError(f"The preset {path} cannot be read: {getattr(error, 'strerror', error)}.") from error
        return cls.from_json(content, str(path))

    def save(self, path: Path) -> Path:
        """Writes the file, whole or not at all. Raises: OutputError when it cannot be written."""
        with written_file(path) as part:
            part.write_text(self.to_json() + "\n", encoding="utf-8")
        return path


def _refused(name: str) -> float:
    raise ValueError(f"{name} is no number")
