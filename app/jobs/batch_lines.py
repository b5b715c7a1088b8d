"""Lines of a batch: what each of a manifest's rows asks for, as a job or as what is wrong with it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

from app.jobs.batch import Line
from app.jobs.manifest import PARQUET, TEXT, Manifest, parquet_columns, parsed
from app.jobs.packing import packed
from app.plain import has_halves
from blipdiff.errors import BlipdiffError, ConfigError, listed
from pipelines.inputs import CARD_SUFFIX, Input
from pipelines.job import Job
from pipelines.parameters import parameters, request_from
from pipelines.subject_library import SubjectLibrary
from pipelines.task import Task, task_named

_LARGEST_FILE = 2**28  # bytes of a manifest that is read as a whole
_REMEMBERED_FILES = 32
BESIDE = ("task", "name", "request", "inputs")  # what a line may hold beside parameters and inputs


def read_lines(
    path: Path, library: Path, task: str = "generate", shared: Mapping[str, Any] | None = None
) -> list[Line]:
    """The lines of a .jsonl, .csv, .txt or .parquet file, all of them; files in them are named from its folder on,
    "@Rex" is the library's.

    Of a .txt file each line is a prompt. task: of lines that name none; shared: what holds in all lines that do not
    say otherwise

    Raises: ConfigError for a file that is none of these, or cannot be read, and for a task without a prompt.
    """
    manifest = Manifest(path, task, shared or {})
    check_manifest(manifest)
    if path.is_file() and path.stat().st_size > _LARGEST_FILE:
        raise ConfigError(f"{path} has more than {_LARGEST_FILE // 2**20} MB; with --ray it is read as a stream.")
    reader = Reader(path.parent, SubjectLibrary(library), task)
    found, seen = list[Line](), dict[str, int]()
    for number, raw in manifest.rows():
        line = reader.line(number, manifest.told(raw))
        seen[line.key] = seen.get(line.key, 0) + 1  # a line that stands there twice is drawn twice
        found.append(replace(line, key=f"{line.key}-{seen[line.key]}"))
    return found


def check_manifest(manifest: Manifest) -> None:
    """Passes where rows may be jobs of the manifest's task.

    Raises: ConfigError for a file that cannot be read, for a list of prompts where the task takes none, and for columns
    that nothing is known of.
    """
    task = task_named(manifest.task)
    kind = manifest.path.suffix.lower()
    if kind == TEXT and "prompt" not in parameters(task.request):
        raise ConfigError(
            f"{manifest.task} takes no prompt, so a list of them cannot be drawn; give a .jsonl or .csv file."
        )
    next(manifest.rows(), None)
    if kind == PARQUET and "task" not in (columns := parquet_columns(manifest.path)):
        known = {*parameters(task.request), *task.inputs, *BESIDE}
        known |= {one.flag for one in parameters(task.request).values() if one.flag}
        known |= {alias for one in parameters(task.request).values() for alias in one.aliases}
        if unknown := sorted(set(columns) - known):
            raise ConfigError(
                f"{manifest.path} has columns that {task.name} does not know: {listed(unknown)}; it knows: "
                f"{', '.join(sorted(known))}."
            )


@dataclass(frozen=True, slots=True)
class Reader:
    """What makes jobs of rows: files are named from `folder` on, "@Rex" is of the library, `task` is the usual one."""

    folder: Path
    library: SubjectLibrary
    task: str

    def job(self, told: Mapping[str, Any]) -> Job:
        """The job of a line. Raises: BlipdiffError for what is wrong with it."""
        task = task_named(str(told.get("task") or self.task))
        known = {*parameters(task.request), *task.inputs, *BESIDE}
        flags = {one.flag: name for name, one in parameters(task.request).items() if one.flag}
        told = {name if name in known else flags.get(name, name): value for name, value in told.items()}
        old = {alias for one in parameters(task.request).values() for alias in one.aliases}
        if unknown := sorted(set(told) - known - old):
            raise ConfigError(f"{task.name} knows no {unknown[0]!r:.40}; it knows: {', '.join(sorted(known))}.")
        request = {name: value for name, value in told.items() if name not in (*task.inputs, *BESIDE)}
        nested = {"request": told.get("request") or {}, "inputs": told.get("inputs") or {}}
        if not all(isinstance(one, Mapping) for one in nested.values()):
            raise ConfigError("request and inputs are objects.")
        inputs = {name: told[name] for name in task.inputs if name in told} | dict(nested["inputs"])
        given = {name: [self._input(one) for one in _list(value)] for name, value in inputs.items()}
        return Job.of(request_from(task.request, _typed(task, request) | dict(nested["request"])), **given)

    def line(self, number: int, told: Any) -> Line:
        """The line of what a row tells, its key without how often it stands there."""
        name = str(told.get("name") or "") if isinstance(told, Mapping) else ""
        text = json.dumps(told, sort_keys=True, ensure_ascii=False, default=str)
        if has_halves(text):
            key = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
            return Line(
                number, "", None, key.hexdigest(), "The line holds half of a letter, such as U+D800; leave it out."
            )
        key = hashlib.sha256(text.encode())
        try:
            if not isinstance(told, Mapping):
                raise ConfigError(f"The line is no JSON object: {told!r:.60}.")
            job = self.job(told)
            opened = job.opened()
        except BlipdiffError as error:
            return Line(number, name, None, key.hexdigest(), str(error))
        kept = replace(job, inputs=opened.inputs if _names_files(job) else job.inputs)
        for content in sorted(packed(kept).contents):
            key.update(content.encode())
        return Line(number, name, kept, key.hexdigest())

    def _input(self, told: Any) -> Input:
        if isinstance(told, Mapping):
            more = {name: value for name, value in told.items() if name in ("word", "weight", "box")}
            mask = None if told.get("mask") is None else self._input(told["mask"])
            about = Input.from_mapping(more)
            return replace(
                self._input(str(told.get("path", ""))), word=about.word, weight=about.weight, box=about.box, mask=mask
            )
        text = str(told).strip()
        if text.startswith("@"):
            return Input(self.library.load(text[1:]))
        word, sign, path = text.partition("=")
        if sign and not (self.folder / text).exists() and "/" not in word and "\\" not in word:
            return replace(self._input(path), word=word.strip())
        found = self.folder / text
        return Input(found if found.suffix.lower() == CARD_SUFFIX else _content(found))


@lru_cache(maxsize=_REMEMBERED_FILES)
def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def _names_files(job: Job) -> bool:
    return any(isinstance(one.content, Path) for given in job.inputs.values() for one in given)


def _list(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [one for one in value.split(";") if one.strip()]
    return list(value) if isinstance(value, list) else [value]


def _typed(task: Task, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON has them, where a CSV's cell has text."""
    hints = get_type_hints(task.request)
    found = {}
    for name, value in values.items():
        hint = hints.get(name)
        is_text = hint is str or str in get_args(hint)
        found[name] = value if not isinstance(value, str) or is_text or hint is None else parsed(value)
    return found
