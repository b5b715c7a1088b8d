"""A request's body as it comes in: counted, whatever it says of its length, and not waited for without end."""

import asyncio
from collections.abc import AsyncGenerator

from starlette.types import Message, Receive

from app.doors.answers import Refusal


class Gone(Exception):
    """The browser has gone before its request was whole."""


async def pieces(receive: Receive, most: int, seconds: float) -> AsyncGenerator[bytes]:
    """The body's pieces.

    Raises: Refusal for more than `most` bytes, or when nothing comes for so many seconds; Gone.
    """
    count, more = 0, True
    while more:
        try:
            message: Message = await asyncio.wait_for(receive(), seconds)
        except TimeoutError:
            raise Refusal(408, "The request did not go on.") from None
        if message["type"] == "http.disconnect":
            raise Gone
        piece = message.get("body", b"")
        count += len(piece)
        if count > most:
            raise Refusal(413, f"This is too large: {most / 1e6:.0f} MB are taken at most.")
        more = message.get("more_body", False)
        yield piece


async def whole(receive: Receive, most: int, seconds: float) -> bytes:
    """The whole body.

    Raises: as `pieces`.
    """
    return b"".join([piece async for piece in pieces(receive, most, seconds)])


def again(body: bytes, receive: Receive) -> Receive:
    """Gives the body once more, then what `receive` has."""
    is_given = False

    async def given() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return given
