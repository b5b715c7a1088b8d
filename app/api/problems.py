"""What went wrong, told in the form of the interface that was asked."""

import json
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from app.doors.answers import Refusal
from app.jobs.database import DatabaseAway
from app.jobs.tickets import KeyTaken
from app.plain import has_halves, plain
from blipdiff.errors import BlipdiffError, OutputError

OPENAI, A1111 = "/v1/", "/sdapi/"
_NOTHING = "There is nothing here; /api/v1/tasks says what can be drawn, /api/v1/openapi.json what can be asked for."
_AWAY = "The database does not answer now; jobs wait until it does."  # where it is, is told in the log alone
_LOG = logging.getLogger("blipdiff.api")
_CODES = {
    400: "invalid",
    401: "token_needed",
    403: "forbidden",
    404: "not_found",
    405: "method",
    408: "timeout",
    409: "conflict",
    413: "too_large",
    422: "invalid",
    429: "too_many",
    499: "gone",
    503: "busy",
    507: "no_room",
}


class Refused(Exception):
    """A request that is not served: its status, a sentence, and the field that is wrong."""

    def __init__(self, status: int, sentence: str, field: str | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.field = status, sentence, field


def not_found(what: str) -> Refused:
    """There is no such thing, or none that the caller may see."""
    return Refused(404, f"There is no {what} of this name.")


def problem(path: str, status: int, sentence: str, field: str | None = None) -> dict[str, Any]:
    """The body of an answer that says what went wrong."""
    text = plain(sentence)
    if path.startswith(OPENAI):
        kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
        return {"error": {"message": text, "type": kind, "param": field, "code": _CODES.get(status, "error")}}
    if path.startswith(A1111):
        return {"error": "HTTPException", "detail": text, "body": "", "errors": text}
    return {"error": {"code": _CODES.get(status, "error"), "message": text, "field": field}}


def add_to(app: FastAPI) -> None:
    """Has the application answer all errors in these forms."""

    def told(request: Request, status: int, sentence: str, field: str | None = None) -> JSONResponse:
        body = problem(request.url.path, status, sentence, field)
        headers = {"Retry-After": "10"} if status in (429, 503, 507) else None
        return JSONResponse(body, status, headers)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return told(request, error.status, error.sentence, error.field)

    @app.exception_handler(Refusal)
    async def at_the_gate(request: Request, refusal: Refusal) -> JSONResponse:
        return told(request, refusal.status, refusal.sentence)

    @app.exception_handler(BlipdiffError)
    async def cannot(request: Request, error: BlipdiffError) -> JSONResponse:
        return told(request, _status(error), _AWAY if isinstance(error, DatabaseAway) else str(error))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        sentence = {404: _NOTHING, 405: "This is not asked for in this way."}
        return told(request, error.status_code, sentence.get(error.status_code, str(error.detail)))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = [str(part) for part in first.get("loc", ()) if part not in ("body", "query", "path")]
        return told(request, 422, f"{'.'.join(place) or 'The request'}: {first.get('msg')}.", ".".join(place) or None)

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> JSONResponse:
        _LOG.error("A request failed.", exc_info=error)
        return told(request, 500, f"The program has a fault here: {type(error).__name__}.")


def _status(error: BlipdiffError) -> int:
    if isinstance(error, KeyTaken):
        return 409
    if isinstance(error, DatabaseAway):
        return 503
    return 507 if isinstance(error, OutputError) else 422


def parsed(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises: Refused for anything else."""
    try:
        found = json.loads(body or b"{}", parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "The request is no JSON.") from error
    if not isinstance(found, dict):
        raise Refused(400, "The request is no JSON object.")
    if b"\\ud" in body.lower() and has_halves(json.dumps(found, ensure_ascii=False)):
        raise Refused(422, "The request holds half of a letter, such as U+D800; leave it out.")
    return found


def _no_number(name: str) -> float:
    raise ValueError(name)
