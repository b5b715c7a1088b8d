"""The tab that learns one subject: photos in, samples while it learns, and its card, also where it was stopped."""

import gradio as gr

from app.ui.files import served
from app.ui.parts import Changes
from app.ui.room import Room
from app.ui.tabs.any_task import task_tab
from app.ui.views import View
from pipelines.job import Job
from pipelines.task import Task


def personalize_tab(room: Room, task: Task) -> None:
    """Builds the tab in the current Blocks."""
    cards = gr.File(
        label="The card: give it as a subject on any tab", interactive=False, elem_id="personalize-card", render=False
    )

    def shown(_job: Job, view: View) -> Changes:
        """The best card so far, once there is one."""
        return {cards: [served(path) for path in view.sheets.values()] or None}

    task_tab(
        room,
        task,
        {"steps": 0},
        button="Learn",
        hint="Add one to five photos of one subject. Cancel keeps the best card so far.",
        more=[cards],
        columns=2,
        show=shown,
        below=[cards],
    )
