"""/api/v1/ask: questions about a photo, answered at once."""

import base64
import io
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from app.api.callers import Caller, Drawer, Reader
from app.api.problems import Refused
from app.api.reading import Sent, decoded, object_of, sent, value_of
from app.api.views import API
from app.jobs.engines import BUNDLED
from app.libraries import load_libraries
from blipdiff.images import picture_from
from pipelines.ask.request import AskRequest
from pipelines.parameters import request_from

router = APIRouter(tags=["ask"])


@router.get(f"{API}/engines")
def engines(caller: Reader) -> dict[str, Any]:
    """The engines that may be asked here."""
    return {"engines": list(caller.workshop.engines.names)}


@router.post(f"{API}/ask")
async def ask(request: Request, caller: Drawer) -> dict[str, Any]:
    """Answers "questions" about a "photo", which is base64 or a file of a form.

    Beside them: "engine"; "turns", each with "question" and "answer"; "request" with settings; "heat_map": true for a
    PNG, as base64, of where was looked for each answer.
    """
    given = await sent(request, request.app.state.limits)
    return await run_in_threadpool(_answered, caller, given)


def _answered(caller: Caller, given: Sent) -> dict[str, Any]:
    fields = dict(given.fields)
    files = [content for name, content in given.files if name == "photo"]
    if not files and "photo" in fields:
        files = [decoded(fields.pop("photo"))]
    if len(files) != 1:
        raise Refused(422, "Send one photo.", "photo")
    photo = picture_from(files[0], "the photo")
    look = value_of(fields.pop("heat_map", False)) is True
    request = request_from(AskRequest, object_of(fields.pop("request", {}), "request"))
    engine, turns = str(fields.pop("engine", BUNDLED)), _turns(fields.pop("turns", []))
    questions = _questions(fields)
    asked, answers = caller.workshop.engines.answers(engine, photo, questions, request, turns=turns, look=look)
    told = [one.as_mapping() | ({"heat_map": _heat(photo, one)} if look else {}) for one in answers]
    return {"engine": asked.name, "about": asked.about, "answers": told}


def _questions(fields: dict[str, Any]) -> list[str]:
    told = fields.pop("questions", fields.pop("question", []))
    if fields:
        raise Refused(422, f"Asking takes no field {next(iter(fields))!r:.60}.", next(iter(fields)))
    found = told if isinstance(told, list) else [told]
    if not all(isinstance(one, str) for one in found):
        raise Refused(422, "Questions are texts.", "questions")
    return found


def _turns(told: Any) -> list[Any]:
    load_libraries()
    from blipdiff.language.answers import Turn

    found = value_of(told) if isinstance(told, str) else told
    wanted = {"question", "answer"}
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and set(one) == wanted and all(isinstance(one[name], str) for name in wanted)
        for one in found
    ):
        raise Refused(422, 'Turns are a list, each {"question": TEXT, "answer": TEXT}.', "turns")
    return [Turn(one["question"], one["answer"]) for one in found]


def _heat(photo: Any, asked: Any) -> str:
    load_libraries()
    from pipelines.ask.run import heat_map

    stream = io.BytesIO()
    heat_map(photo, asked).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode()
