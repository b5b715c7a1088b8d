"""What a form shows of the model that is open: its own values where a field is empty, what each speed takes with it."""

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

from app.jobs.facts import Facts
from app.jobs.pace import Pace
from app.ui.texts import retold, said
from blipdiff.ranges import EVEN_STEPS, USUAL_SPEED, duration

# parameters that are the model's own where they are empty, and what they are then
OF_MODEL: Mapping[str, Callable[[Facts], Any]] = {
    "width": lambda facts: facts.width,
    "height": lambda facts: facts.height,
    "guidance": lambda facts: f"{facts.guidance:g}",
    "detail": lambda facts: f"{facts.detail:g}",
}


def hinted(told: Callable[[Facts], Any], facts: Facts) -> Any:
    """An empty field that says what it stands for."""
    return gr.Textbox(placeholder=said("{value} if empty", value=told(facts)))


def speeds(pace: Pace, task: str, facts: Facts) -> Any:
    """The speeds with what each takes with this model: its calls, and the time where some were measured here."""
    seconds = pace.seconds(task, facts.name)  # of a step that a job usually has
    usual = EVEN_STEPS[USUAL_SPEED] / facts.calls[USUAL_SPEED]
    choices = []
    for speed, calls in facts.calls.items():
        label = said("{speed}: {calls} calls", speed=retold(speed), calls=calls)
        if seconds is not None:
            time = duration(seconds * usual * calls)
            label = said("{speed}: {calls} calls, about {time} a picture", speed=retold(speed), calls=calls, time=time)
        choices.append((label, speed))
    return gr.Dropdown(choices=choices)
