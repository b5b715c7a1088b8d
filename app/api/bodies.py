"""What requests hold, as the OpenAPI description tells it: made from the declared tasks, whatever is registered."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api.described import schema
from app.api.views import API
from app.jobs.engines import MOST_QUESTIONS
from blipdiff.ranges import SCHEDULER_NAMES
from pipelines.added import KINDS, MOST, MOST_WEIGHT
from pipelines.ask.request import AskRequest
from pipelines.task import Task, task_named, tasks

JSON, FORM = "application/json", "multipart/form-data"
_TEXT: dict[str, Any] = {"type": "string"}
_FILE = {"type": "string", "contentMediaType": "application/octet-stream"}
_FILES = {"type": "array", "items": _FILE}
_INPUT = {"$ref": "#/components/schemas/Input"}


def described_in_full(app: FastAPI) -> dict[str, Any]:
    """The application's OpenAPI description, with the bodies that routes read themselves."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    found = get_openapi(title=app.title, version=app.version, routes=app.routes)
    found.setdefault("components", {}).setdefault("schemas", {})["Input"] = input_schema()
    for (path, method), content in _BODIES.items():
        told = found["paths"].get(path, {}).get(method)
        if told is not None:
            kinds = {kind: {"schema": one} for kind, one in content().items()}
            told["requestBody"] = {"required": True, "content": kinds}
    app.openapi_schema = found
    return found


def input_schema(mask: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One input of a job: a text, or an object that says where it is and what it shows."""
    box = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
    box["description"] = "Where a subject shall be: left, top, right, bottom, in fractions of the picture."
    about = {"word": _TEXT | {"description": "What it is, or its word in the prompt."}, "weight": {"type": "number"},
             "box": box, "mask": mask or _INPUT}  # fmt: skip
    places = {"file": "Base64, or a data URL.", "library": "A subject's name.", "result": "An earlier picture's id.",
              "upload": "An upload's id, or a file of the same form."}  # fmt: skip
    told = {name: _TEXT | {"description": text} for name, text in places.items()}
    part = {"part": _TEXT | {"description": "What stands beside a result: before, mask."}}
    return {
        "description": 'A subject or a picture: "@NAME" of the library, base64, or an object that names one place.',
        "anyOf": [_TEXT, {"type": "object", "properties": told | part | about, "minProperties": 1}],
    }


def added_schema() -> dict[str, Any]:
    """What a job is drawn with beside the model."""
    values = {"kind": {"type": "string", "enum": list(KINDS)}, "name": _TEXT | {"minLength": 1, "maxLength": 200},
              "weight": {"type": "number", "minimum": -MOST_WEIGHT, "maximum": MOST_WEIGHT},
              "fingerprint": _TEXT | {"pattern": "^[0-9a-f]{16}$"}}  # fmt: skip
    one = {"type": "object", "properties": values, "required": ["name"], "additionalProperties": False}
    about = f"LoRAs with their weights, and embeddings, as GET {API}/files lists them."
    return {"type": "array", "maxItems": MOST, "items": one, "description": about}


def job_schema() -> dict[str, Any]:
    """A job as JSON: one form for each task."""
    return {"type": "object", "anyOf": [_job_of(task) for task in tasks().values()]}


def _job_of(task: Task) -> dict[str, Any]:
    return {
        "title": task.name,
        "description": task.summary,
        "type": "object",
        "properties": {
            "task": {"type": "string", "const": task.name},
            "request": schema(task.request),
            "inputs": inputs_schema(task),
            "added": added_schema(),
            "model": _TEXT,
            "name": _TEXT | {"maxLength": 200},
            "priority": {"type": "integer", "minimum": -100, "maximum": 100},
            "webhook": _TEXT,
        },
        "required": ["task", "request"],
    }


def inputs_schema(task: Task, one: Mapping[str, Any] = _INPUT) -> dict[str, Any]:
    """What a task takes beside its request."""
    kinds = {
        name: {"anyOf": [one, {"type": "array", "items": one}], "title": kind.label, "description": kind.help}
        for name, kind in task.inputs.items()
    }
    needed = [name for name, kind in task.inputs.items() if kind.least]
    return {"type": "object", "properties": kinds, "required": needed, "additionalProperties": False}


def _group() -> dict[str, Any]:
    prompts = {"anyOf": [{"type": "array", "items": _TEXT}, _TEXT]}
    form, told = _form(), {"properties": {"prompts": prompts}, "required": ["prompts"]}
    form["properties"] |= {"prompts": _TEXT}
    return {JSON: job_schema() | told, FORM: form | {"required": ["prompts"]}}


def _job() -> dict[str, Any]:
    return {JSON: job_schema(), FORM: _form()}


def _form() -> dict[str, Any]:
    """A job as a form: parameters as fields, files under their input's name."""
    task = task_named("generate")
    fields = {name: _TEXT | {"description": one.get("description", "")} for name, one in _parameters(task).items()}
    about = dict.fromkeys(("task", "added", "model", "name", "priority", "webhook", "job"), _TEXT)
    return {"type": "object", "properties": about | fields | dict.fromkeys(task.inputs, _FILES)}


def _parameters(task: Task) -> dict[str, Any]:
    found: dict[str, Any] = schema(task.request)["properties"]
    return found


def _again() -> dict[str, Any]:
    return {JSON: {"type": "object", "properties": {"request": {"type": "object"}, "model": _TEXT}}}


def _move() -> dict[str, Any]:
    values = {"before": {"type": ["string", "null"]}, "priority": {"type": "integer"}}
    return {JSON: {"type": "object", "properties": values}}


def _subject() -> dict[str, Any]:
    texts = dict.fromkeys(("name", "category", "model"), _TEXT)
    return {
        JSON: {"type": "object", "properties": texts | {"file": _TEXT}, "required": ["file"]},
        FORM: {"type": "object", "properties": texts | {"file": _FILE}, "required": ["file"]},
    }


def _ask() -> dict[str, Any]:
    turn = {"type": "object", "properties": {"question": _TEXT, "answer": _TEXT}, "required": ["question", "answer"]}
    values = {
        "questions": {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MOST_QUESTIONS},
        "engine": _TEXT,
        "turns": {"type": "array", "items": turn, "maxItems": MOST_QUESTIONS},
        "request": schema(AskRequest),
        "heat_map": {"type": "boolean"},
    }
    return {
        kind: {"type": "object", "properties": {"photo": one, **values}, "required": ["photo", "questions"]}
        for kind, one in ((JSON, _TEXT), (FORM, _FILE))
    }


def _pictures(*, is_edit: bool) -> dict[str, Any]:
    """OpenAI's fields, with ours beside them."""
    whole = {"type": "integer"}
    values: dict[str, Any] = {
        "prompt": _TEXT,
        "model": _TEXT,
        "n": whole | {"minimum": 1, "maximum": 10},
        "size": _TEXT | {"examples": ["auto", "512x512"]},
        "response_format": {"type": "string", "enum": ["b64_json", "url"]},
        "output_format": {"type": "string", "enum": ["png", "jpeg", "webp"]},
        "stream": {"type": "boolean"},
        "partial_images": whole | {"minimum": 0, "maximum": 3},
        "subject": {"anyOf": [_INPUT, {"type": "array", "items": _INPUT}]},
        "task": _TEXT,
        "request": {"type": "object"},
    }
    values |= {name: one for name, one in _parameters(task_named("generate")).items() if name not in values}
    if is_edit:
        form = values | {"image": _FILES, "mask": _FILE}
        return {FORM: {"type": "object", "properties": form, "required": ["prompt", "image"]}}
    return {JSON: {"type": "object", "properties": values, "required": ["prompt"]}}


def _a1111(*, is_picture: bool) -> dict[str, Any]:
    """The fields of A1111's web UI that are read."""
    whole, number = {"type": "integer"}, {"type": "number"}
    values: dict[str, Any] = {
        "prompt": _TEXT,
        "negative_prompt": _TEXT,
        "seed": whole,
        "steps": whole,
        "cfg_scale": number,
        "width": whole,
        "height": whole,
        "batch_size": whole,
        "n_iter": whole,
        "sampler_name": {"type": "string", "enum": [*SCHEDULER_NAMES]},
        "override_settings": {"type": "object"},
        "alwayson_scripts": {"type": "object"},
        "subject": {"anyOf": [_INPUT, {"type": "array", "items": _INPUT}]},
        "category": _TEXT,
    }
    if is_picture:
        more = {"init_images": {"type": "array", "items": _TEXT}, "mask": _TEXT, "denoising_strength": number}
        return {JSON: {"type": "object", "properties": values | more, "required": ["init_images"]}}
    return {JSON: {"type": "object", "properties": values}}


_BODIES: dict[tuple[str, str], Callable[[], dict[str, Any]]] = {
    (f"{API}/jobs", "post"): _job,
    (f"{API}/jobs/{{name}}/move", "post"): _move,
    (f"{API}/groups", "post"): _group,
    (f"{API}/results/{{name}}/again", "post"): _again,
    (f"{API}/subjects", "post"): _subject,
    (f"{API}/uploads", "post"): lambda: {
        kind: {"type": "object", "properties": {"file": one}, "required": ["file"]}
        for kind, one in ((JSON, _TEXT), (FORM, _FILE))
    },
    (f"{API}/ask", "post"): _ask,
    ("/v1/images/generations", "post"): lambda: _pictures(is_edit=False),
    ("/v1/images/edits", "post"): lambda: _pictures(is_edit=True),
    ("/sdapi/v1/txt2img", "post"): lambda: _a1111(is_picture=False),
    ("/sdapi/v1/img2img", "post"): lambda: _a1111(is_picture=True),
    ("/sdapi/v1/options", "post"): lambda: {JSON: {"type": "object"}},
}
