"""A page as an application: Gradio's own, behind the page's door."""

from pathlib import Path

import gradio as gr
from fastapi import FastAPI
from gradio.utils import get_upload_folder

from app.doors.access import Access
from app.doors.door import Door
from app.doors.space import Space
from app.ui.look import looks
from app.ui.spoken import Spoken
from app.ui.texts import gradio_words


def behind_door(page: gr.Blocks, access: Access) -> Door:
    """Gradio's application for those whom `access` lets in.

    Never through anybody else's server, and not with Gradio's own `launch`: that asks itself for the page through
    whatever proxy is set, gives up where the machine is busy, and then says that a public link is needed.
    """
    limits = access.limits
    page.state_session_capacity = limits.sessions
    space = Space(Path(get_upload_folder()), limits.space, limits.free)
    page.i18n_instance = gr.I18n(**gradio_words())  # without one Gradio shows the names of its words
    own = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    own.router.routes.extend(getattr(page, "own_routes", ()))
    app = gr.mount_gradio_app(
        own,
        page,
        path="/",
        show_error=True,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        allowed_paths=[],
        max_file_size=limits.file,
        **looks(),
    )
    app.add_middleware(Spoken, usual=getattr(page, "usual", "auto"))
    page.has_launched = True  # else Gradio lets the browser name any file on this machine as an upload
    page._queue.pending_messages_per_session.max_size = limits.sessions
    return Door(app, page, space, access)
