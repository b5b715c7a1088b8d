"""Requests become jobs: JSON or a form with files; nothing in them names a file or an address to be fetched."""

import base64
import binascii
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from starlette.datastructures import UploadFile
from starlette.requests import Request

from app.api.problems import Refused, not_found, parsed
from app.api.views import API
from app.doors.access import Limits
from app.jobs.workshop import Workshop
from blipdiff.conditioning.subject import SubjectEmbedding
from pipelines.added import Added, added_from
from pipelines.inputs import CARD_SUFFIX, Input
from pipelines.job import Job, told_by_cards
from pipelines.parameters import parameters, request_from
from pipelines.task import Task, task_named

_MOST_FIELDS = 100
_OF_THE_LINE = ("inputs", "added", "model", "name", "priority", "webhook", "mask")
LIBRARY = "@"  # a text that begins so names a subject of the library


@dataclass(frozen=True, slots=True)
class Sent:
    """What a request holds: its fields, and its files each under its field's name, in their order."""

    fields: Mapping[str, Any]
    files: Sequence[tuple[str, bytes]] = ()
    is_form: bool = False


@dataclass(frozen=True, slots=True)
class Cupboard:
    """Where inputs may come from: the library, earlier results and uploads of their owner, and files of the request."""

    workshop: Workshop
    owner: str | None  # None: everybody's
    files: Sequence[tuple[str, bytes]] = ()

    def input_of(self, told: Any) -> Input:
        """An input of what a request says: "@Rex", or a mapping. Raises: Refused, BlipdiffError."""
        if isinstance(told, str):
            if told.startswith(LIBRARY):
                return Input(self.workshop.library.load(told[1:]))
            return Input(content_of(decoded(told)))
        if not isinstance(told, Mapping):
            raise Refused(422, f"An input is an object or a text, not {told!r:.60}.")
        more = {name: value for name, value in told.items() if name in ("word", "weight", "box")}
        mask = None if told.get("mask") is None else self.input_of(told["mask"])
        found = self._content(told)
        about = Input.from_mapping(more)
        return replace(found, word=about.word or found.word, weight=about.weight, box=about.box, mask=mask)

    def _content(self, told: Mapping[str, Any]) -> Input:
        if "library" in told:
            return Input(self.workshop.library.load(str(told["library"])))
        if "result" in told:
            return Input(self._result(str(told["result"]), told.get("part")))
        if "upload" in told:
            for name, content in self.files:
                if name == told["upload"]:
                    return Input(content_of(content))
            earlier = self.workshop.uploads.find(self.owner, str(told["upload"]))
            if earlier is not None:
                return Input(content_of(earlier))
            raise Refused(422, f"The request has no file {told['upload']!r:.60}, and no upload is kept under this id.")
        if "file" in told:
            return Input(content_of(decoded(told["file"])))
        return Input.from_mapping({name: value for name, value in told.items() if name != "mask"})

    def _result(self, name: str, part: Any) -> bytes:
        entry = self.workshop.history.entry(name)
        if self.owner not in (None, entry.owner):
            raise not_found("result")
        return self.workshop.history.file(entry, None if part is None else str(part)).read_bytes()


async def sent(request: Request, limits: Limits) -> Sent:
    """The fields and files of a request. Raises: Refused for what is neither JSON nor a form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded" and (await request.body()).lstrip().startswith(b"{"):
        return Sent(parsed(await request.body()))  # what curl -d says of JSON, too
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        return await _form(request, limits)
    if kind not in ("", "application/json", "text/plain"):
        raise Refused(415, f"The request is {kind!r:.60}; send JSON or a form.")
    return Sent(parsed(await request.body()))


async def _form(request: Request, limits: Limits) -> Sent:
    fields: dict[str, Any] = {}
    files: list[tuple[str, bytes]] = []
    async with request.form(
        max_files=limits.files, max_fields=_MOST_FIELDS, max_part_size=limits.form
    ) as form:  # what is too large or malformed ends as 400
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                fields[name] = value
                continue
            content = await value.read()
            if len(content) > limits.file:
                raise Refused(413, f"A file may have {limits.file / 1e6:.0f} MB.", name)
            files.append((name, content))
    return Sent(fields, files, is_form=True)


def job_of(given: Sent, workshop: Workshop, owner: str | None) -> Job:
    """The job that a request asks for.

    Raises: Refused, BlipdiffError for what it lacks or has too much of.
    """
    fields = dict(given.fields)
    if given.is_form and "job" in fields:
        fields |= parsed(str(fields.pop("job")).encode())
    task = task_named(str(fields.pop("task", "generate")))
    values = object_of(fields.pop("request", {}), "request")
    if given.is_form:
        values |= of_form(task, fields)
        _check_fields(task, fields)
    cupboard = Cupboard(workshop, owner, given.files)
    inputs = {name: list[Input]() for name in task.inputs}
    told = object_of(fields.pop("inputs", {}), "inputs")
    for name, one in told.items():
        if name not in inputs:
            raise Refused(422, f"{task.name} takes no {name}; it takes: {', '.join(task.inputs)}.", "inputs")
        inputs[name] += [cupboard.input_of(each) for each in (one if isinstance(one, list) else [one])]
    for field, content in given.files:
        name, _, word = field.removesuffix("[]").partition(":")
        if name in inputs:
            inputs[name].append(Input(content_of(content), word))
        elif field not in _uploads(told):
            raise Refused(422, f"{task.name} takes no file {field!r:.60}.", field)
    for name in task.inputs:
        if given.is_form and isinstance(fields.get(name), str):
            inputs[name].append(cupboard.input_of(fields[name]))
    values |= told_by_cards(task, values, inputs)
    job = Job.of(request_from(task.request, values), **{name: found for name, found in inputs.items() if found})
    return replace(job, added=_added(fields.pop("added", ())))


def _check_fields(task: Task, fields: Mapping[str, Any]) -> None:
    """Refuses what nobody reads, which is a slip of the pen: a misspelt prompt would be drawn without."""
    known = {*_names_of(task), *task.inputs, *_OF_THE_LINE}
    for name in fields:
        if name.removesuffix("[]").partition(":")[0] not in known:
            raise Refused(422, f"{task.name} takes no field {name!r:.60}; GET {API}/tasks lists what it takes.", name)


def content_of(data: bytes) -> bytes | SubjectEmbedding:
    """The subject card that a file is, or the bytes of a picture."""
    if not _is_card(data):
        return data
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"card{CARD_SUFFIX}"
        path.write_bytes(data)
        return SubjectEmbedding.load(path)


def decoded(text: Any) -> bytes:
    """A file as base64 text, or as a data URL. Raises: Refused for anything else."""
    if not isinstance(text, str):
        raise Refused(422, "A file is base64 text.")
    if text.startswith(("http:", "https:", "file:", "ftp:")):
        raise Refused(422, "Addresses are not fetched; send the file itself, as base64 text or in a form.")
    try:
        found = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(422, "A file is base64 text; this is none.") from error
    if not found:
        raise Refused(422, "A file is empty.")
    return found


def _added(told: Any) -> tuple[Added, ...]:
    """The LoRAs and embeddings that a request names: a list, in a form as JSON."""
    return added_from(value_of(told) if isinstance(told, str) else told)


def _uploads(told: Any) -> set[Any]:
    """The files of the request that its inputs name."""
    if isinstance(told, Mapping):
        return set().union(
            *map(_uploads, told.values()), *([{told["upload"]}] if isinstance(told.get("upload"), str) else [])
        )
    return set().union(*map(_uploads, told)) if isinstance(told, list) else set()


def _is_card(data: bytes) -> bool:
    """Whether this begins as a safetensors file: the length of its head, and the head."""
    return len(data) > 8 and data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data)


def object_of(told: Any, name: str) -> dict[str, Any]:
    """An object, which a form has as JSON. Raises: Refused for anything else."""
    found = parsed(told.encode()) if isinstance(told, str) else told
    if not isinstance(found, Mapping):
        raise Refused(422, f"{name} is an object.", name)
    return dict(found)


def of_form(task: Task, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those fields of a form that are parameters of the request, as JSON would have them."""
    hints = get_type_hints(task.request)
    found = {}
    for name in _names_of(task) & set(fields):
        value, hint = fields[name], hints.get(name, str)
        is_text = hint is str or str in get_args(hint)
        found[name] = value if is_text and not str(hint).startswith("tuple") else value_of(str(value))
    return found


def _names_of(task: Task) -> set[str]:
    """Its parameters, by their present and their earlier names."""
    declared = parameters(task.request)
    return set(declared) | {old for one in declared.values() for old in one.aliases}


def value_of(text: Any) -> Any:
    """What a form's text stands for; what is no text is itself."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        if "," in text:
            return [one.strip() for one in text.split(",")]
        return text
