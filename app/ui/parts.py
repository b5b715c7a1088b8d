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
    if not is_number(declared):
        return gr.Textbox(value=default or "", **shared)
    if is_typed_as_text(declared, default):
        return gr.Textbox(value="" if default is None else str(default), max_lines=1, **shared)
    low, high, step = declared.low, declared.high, declared.step or 1
    if low is None or high is None or (high - low) / step > _MOST_PLACES:
        return gr.Number(value=default, step=step, **shared)
    return gr.Slider(low, high, value=default, step=step, **shared)


def is_number(declared: Parameter) -> bool:
    """Whether the parameter is a number within a range."""
    return declared.low is not None and declared.high is not None


def is_typed_as_text(declared: Parameter, default: Any) -> bool:
    """Whether a number needs a text box: a browser's number box cannot be empty, nor exact above 2**53."""
    return is_number(declared) and (default is None or (declared.high or 0) > _LARGEST_EXACT)
