"""/mcp: the tools over MCP's streamable HTTP. Each request stands alone, behind the gate, under its own token."""

import base64
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from app.api.callers import Caller, caller_with
from app.api.problems import Refused
from app.api.tools import Told, ToolOf, tools
from app.jobs.events import JobEvent
from app.plain import plain
from blipdiff import __version__
from blipdiff.errors import BlipdiffError, MissingDependencyError

_ABOUT = (
    "Draws pictures of a subject from one photo of it. Bring photos in with 'upload', then call a task's tool; "
    "'subjects' lists those that are kept under names. A job that takes longer than its 'wait' goes on: ask 'wait' "
    "for it."
)


class Endpoint:
    """An ASGI application that answers at /mcp."""

    def __init__(self, most: int) -> None:
        """most: bytes of a request. Raises: MissingDependencyError where the package mcp is not installed."""
        try:
            from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
        except ImportError as error:
            raise MissingDependencyError("--mcp needs the package mcp: pip install 'blipdiff[mcp]'.") from error
        self._manager = partial(StreamableHTTPSessionManager, _server(), stateless=True, max_request_body_size=most)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        body = await Request(scope, receive).body()  # here, where the gate's refusals are not among a group's errors
        manager = self._manager()
        async with manager.run():
            await manager.handle_request(scope, _again(body, receive), send)


def _again(body: bytes, receive: Receive) -> Receive:
    """What has been read, once more; then whatever comes after it."""
    is_told = False

    async def received() -> Message:
        nonlocal is_told
        if is_told:
            return await receive()
        is_told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return received


def _server() -> Any:
    import mcp_types as types
    from mcp.server.lowlevel import Server

    async def listed(_context: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_described(one) for one in tools().values()])

    async def called(context: Any, params: types.CallToolRequestParams) -> Any:
        tool = tools().get(params.name)
        if tool is None:
            return _refused(f"There is no tool {params.name!r:.60}; there are: {', '.join(tools())}.")

        async def tell(event: JobEvent) -> None:
            await context.session.report_progress(event.step, event.steps)

        try:
            caller: Caller = caller_with(tool.scope)(context.request)
            told = await tool.run(caller, params.arguments or {}, tell)
        except (Refused, BlipdiffError) as error:
            return _refused(str(error))
        return _answer(told)

    return Server("blipdiff", version=__version__, instructions=_ABOUT, on_list_tools=listed, on_call_tool=called)


def _described(one: ToolOf) -> Any:
    import mcp_types as types

    return types.Tool(name=one.name, description=one.description, input_schema=one.schema)


def _answer(told: Told) -> Any:
    import mcp_types as types

    pictures = [
        types.ImageContent(data=base64.b64encode(one.content).decode(), mime_type=one.kind) for one in told.pictures
    ]
    text = types.TextContent(text=told.text)
    return types.CallToolResult(content=[text, *pictures], structured_content=dict(told.about))


def _refused(sentence: str) -> Any:
    import mcp_types as types

    return types.CallToolResult(content=[types.TextContent(text=plain(sentence))], is_error=True)
