"""Controls of the page, made from the declarations of a request's parameters."""

from typing import Any

import gradio as gr

from pipelines.requests import Parameter

_MOST_PLACES = 200  # of a slider that a finger can still set
_LARGEST_EXACT = 2**53  # above it a browser's numbers are no longer whole


def control(name: str, declared: Parameter, default: Any, **looks: Any) -> Any:
    """The control that suits a parameter: a choice, a text, a slider, or a box for a number of a wide range.

    Numbers keep what was typed; the request checks their range and says what is wrong.
    """
    shared = {"label": declared.label, "info": declared.help, "elem_id": f"field-{name}", **looks}
    if declared.choices:
        return gr.Dropdown(list(declared.choices), value=default, **shared)
    if declared.low is None or declared.high is None:
        return gr.Textbox(value=default or "", **shared)
    if declared.high > _LARGEST_EXACT:
        return gr.Textbox(value=str(default), max_lines=1, **shared)
    step = declared.step or 1
    if default is None or (declared.high - declared.low) / step > _MOST_PLACES:
        return gr.Number(value=default, step=step, **shared)
    return gr.Slider(declared.low, declared.high, value=default, step=step, **shared)
