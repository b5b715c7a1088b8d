"""The interfaces as one application: routes, errors, figures, behind their gate."""

from collections.abc import Sequence
from functools import partial

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp

from app.api import a1111, asking, groups, history, jobs, mcp, openai, operation, own_files, problems, subjects, uploads
from app.api.bodies import described_in_full
from app.api.figures import Figures
from app.api.gate import MCP, Gate, route
from app.api.tokens import Tokens
from app.api.views import API
from app.api.webhooks import Webhooks, checked_addresses
from app.doors.access import Access
from app.jobs.workshop import Workshop
from blipdiff import __version__

ROUTERS = tuple(
    part.router for part in (operation, jobs, groups, history, subjects, uploads, own_files, asking, openai, a1111)
)


def application(
    workshop: Workshop,
    access: Access | None = None,
    tokens: Tokens | None = None,
    *,
    webhooks: Sequence[str] = (),
    page: ASGIApp | None = None,
    speaks_mcp: bool = False,
) -> ASGIApp:
    """The workshop's interfaces; whatever else is asked for goes to `page`, if there is one.

    Raises: ConfigError for a webhook that is no address, MissingDependencyError for `speaks_mcp` without its package.
    """
    access = access or Access()
    app = FastAPI(
        title="blipdiff", version=__version__, openapi_url=f"{API}/openapi.json", docs_url=None, redoc_url=None
    )
    told = Webhooks(workshop)
    app.state.workshop, app.state.limits, app.state.figures = workshop, access.limits, Figures(workshop)
    app.state.webhooks = checked_addresses(webhooks)
    app.state.webhook_threads = told
    workshop.told.append(told.tell)
    problems.add_to(app)
    for router in ROUTERS:
        app.include_router(router)
    if speaks_mcp:
        app.router.routes.append(
            Route(MCP, mcp.Endpoint(access.limits.upload), methods=["POST"], include_in_schema=False)
        )
    app.openapi = partial(described_in_full, app)  # type: ignore[method-assign]
    return route(page, Gate(app, access, tokens or Tokens()))
