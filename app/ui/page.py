"""The page: its title and its tabs, on one model."""

from collections.abc import Callable
from functools import partial

import gradio as gr

from app.settings import Settings
from app.ui import markup
from app.ui.bench import Room
from app.ui.events import AT_ONCE
from app.ui.files import forget_old, own_cache
from app.ui.orders import Orders
from app.ui.tabs.any_task import task_tab
from app.ui.tabs.attend import attend_tab
from app.ui.tabs.blend import BlendTab
from app.ui.tabs.edit import EditTab
from app.ui.tabs.generate import generate_tab
from app.ui.tabs.library import library_tab
from app.ui.tabs.scene import scene_tab
from app.ui.tabs.stylize import StylizeTab
from blipdiff.checkpoints.additions import told
from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.studio import Studio, purpose
from pipelines.task import Task, tasks

# the tabs of tasks that have a layout of their own: title and builder; other tasks follow, as they are declared
_TABS: dict[str, tuple[str, Callable[[Room, Task], object]]] = {
    "generate": ("Generate", generate_tab),
    "stylize": ("Stylize", StylizeTab),
    "edit": ("Edit", EditTab),
    "attend": ("Attention", attend_tab),
    "blend": ("Blend", BlendTab),
    "scene": ("Scene", scene_tab),
}


def build_page(studio: Studio, settings: Settings, orders: Orders) -> gr.Blocks:
    """The page with a tab for every task, whose runs go through `orders`; not yet served."""
    model = studio.model
    dtype = str(model.unet.dtype).removeprefix("torch.")
    own_cache()
    known = {name: task for name, task in tasks().items() if task.is_offered}
    with gr.Blocks(title="blipdiff", analytics_enabled=False) as page:
        room = Room(page, studio, settings, orders)
        gr.HTML(markup.heading(model.name, str(model.device), dtype, _about(model)))
        with gr.Tabs(elem_id="tabs"):
            for name in [*_TABS, *(name for name in known if name not in _TABS)]:
                title, build = _TABS.get(name, (name.replace("-", " ").capitalize(), task_tab))
                with gr.Tab(title, id=f"{name}-tab"):
                    build(room, known[name])
            with gr.Tab("Subjects", id="library-tab"):
                show, search, shown = library_tab(studio, settings, room.lists)
        page.load(show, search, shown, **AT_ONCE)
        page.load(partial(forget_old, page), None, None, **AT_ONCE)
    page.queue(max_size=32, default_concurrency_limit=1)
    return page


def _about(model: BlipDiffusion) -> str | None:
    """What the model is for, what goes on it, and the words that call that up."""
    names = ", ".join(one.part for one in model.additions)
    found = [purpose(model), f"With {names}." if names else None, *told(model)]
    return " ".join(text for text in found if text) or None
