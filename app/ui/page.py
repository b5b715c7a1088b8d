"""The page: its title and its tabs, on one model."""

import socket
import webbrowser
from collections.abc import Callable
from functools import partial

import gradio as gr

from app.settings import Settings, read_settings
from app.ui import markup
from app.ui.attend_tab import attend_tab
from app.ui.blend_tab import blend_tab, refreshed
from app.ui.doors.access import Access
from app.ui.edit_tab import edit_tab
from app.ui.events import AT_ONCE, on_change
from app.ui.files import forget_old, own_cache
from app.ui.generate_tab import generate_tab
from app.ui.library_tab import library_tab
from app.ui.orders import Orders
from app.ui.scene_tab import scene_tab
from app.ui.server import serve
from app.ui.stylize_tab import stylize_tab
from pipelines.sizes import purpose
from pipelines.studio import Studio


def build_page(studio: Studio, settings: Settings, orders: Orders) -> gr.Blocks:
    """The page with all its tabs, whose runs go through `orders`; not yet served."""
    model = studio.model
    dtype = str(model.unet.dtype).removeprefix("torch.")
    own_cache()
    with gr.Blocks(title="blipdiff", analytics_enabled=False) as page:
        gr.HTML(markup.heading(model.name, str(model.device), dtype, purpose(model)))
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Generate", id="generate-tab"):
                generate_tab(page, studio, settings, orders)
            with gr.Tab("Stylize", id="stylize-tab"):
                stylize_tab(studio, settings, orders)
            with gr.Tab("Edit", id="edit-tab"):
                edit_tab(studio, settings, orders)
            with gr.Tab("Attention", id="attend-tab"):
                attend_tab(studio, settings, orders)
            with gr.Tab("Blend", id="blend-tab"):
                lists = blend_tab(studio, settings, orders)
            with gr.Tab("Scene", id="scene-tab"):
                lists += scene_tab(studio, settings, orders)
            with gr.Tab("Subjects", id="library-tab"):
                show, search, shown = library_tab(studio, settings)
        page.load(show, search, shown, **AT_ONCE)
        on_change([page.load, shown[1].change], partial(refreshed, settings, len(lists)), None, lists)
        page.load(partial(forget_old, page), None, None, **AT_ONCE)
    page.queue(max_size=32, default_concurrency_limit=1)
    return page


def launch(
    studio: Studio,
    settings: Settings | None = None,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    access: Access | None = None,
    listening: socket.socket | None = None,
    open_browser: bool = False,
    tell: Callable[[str], None] = print,
) -> None:
    """Serves the page until Ctrl-C, and tells its address: what the command line calls.

    port: None takes the first free one from 7860; access: who may come in besides this machine; listening: a socket
    that listens already, instead of `host` and `port`

    Raises: ConfigError for a port or an address that cannot be had, and for one that everybody could reach.
    """
    orders = Orders()
    page = build_page(studio, read_settings() if settings is None else settings, orders)
    with serve(page, orders, host=host, port=port, access=access, listening=listening) as running:
        tell(f"The page is at {running.url} - press Ctrl-C to end it.")
        if open_browser:
            webbrowser.open(running.url)
        running.wait()
