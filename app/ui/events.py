"""How events are connected: no click is lost, and no late answer overwrites what came after it.

Gradio drops a click while an event of the same button is open. Here every click is answered, and of several changes
the last one; a click waits for what is on its way to its fields, and carries what stood in them when it was made
(app/assets/fields.js).
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from app.ui.notices import guarded

# without a component to show progress on, Gradio's page looks through all of its components for each of the outputs, at
# every message
SILENT: dict[str, Any] = {"show_progress": "hidden", "show_progress_on": [], "api_visibility": "private"}
AT_ONCE: dict[str, Any] = {**SILENT, "concurrency_limit": None}  # in the queue all the same: only there can it notify
ON_MODEL: dict[str, Any] = {**SILENT, "concurrency_id": "model", "concurrency_limit": 1}  # one computes, others wait
ON_PHOTOS: dict[str, Any] = {**SILENT, "concurrency_id": "photos", "concurrency_limit": 2}  # so many are in memory

STOPPING = """() => `<p class="message plain">${blipdiff.said("Stopping after this step.")}</p>`"""


def on_click(
    button: Any,
    handler: Callable[..., Any],
    inputs: Any,
    outputs: Any,
    how: dict[str, Any] = AT_ONCE,
    *,
    last_alone: bool = False,
) -> Any:
    """Every click is answered, once what is on its way to `inputs` has arrived; gives the event for `success`.

    Of several that wait, `last_alone` is asked for: what replaces what. Otherwise each is, one after the other.
    """
    ready = _ready(button, inputs, last_alone)
    return ready.success(guarded(handler), inputs, outputs, trigger_mode="multiple", **how)


def on_change(
    triggers: Any, handler: Callable[..., Any], inputs: Any, outputs: Any, how: dict[str, Any] = AT_ONCE
) -> Any:
    """The last of several changes is always answered; `triggers` are methods such as `slider.release`."""
    return gr.on(_listed(triggers), guarded(handler), inputs, outputs, trigger_mode="always_last", **how)


def on_ask(button: Any, ask: Callable[..., Any], inputs: Any, answered: Any) -> Any:
    """A click asks for a job; of several that wait for their fields the last one counts. Gives the event."""
    return on_click(button, ask, inputs, answered, ON_PHOTOS, last_alone=True)


def on_cancel(button: Any, cancel: Callable[..., Any], inputs: Any, status: Any, outputs: Any) -> None:
    """A click takes the tab's job back at once; one that is being drawn tells its end itself."""
    button.click(None, None, status, js=STOPPING, **SILENT)
    button.click(guarded(cancel), inputs, outputs, trigger_mode="multiple", **AT_ONCE)


def _ready(button: Any, inputs: Any, last_alone: bool) -> Any:
    """The event that happens when nothing is on its way to the inputs; nothing of it reaches the server.

    What a canvas shows is not read here, for Gradio would send it at once; a visit's own values are the server's.
    """
    waited = [component._id for component in _listed(inputs)]
    read = [component for component in _listed(inputs) if not isinstance(component, gr.ImageEditor | gr.State)]
    given = f"{button._id}, {waited}, {[component._id for component in read]}, values, {json.dumps(last_alone)}"
    return button.click(None, read, None, js=f"(...values) => blipdiff.settled({given})", **SILENT)


def _listed(several: Any) -> list[Any]:
    return [] if several is None else list(several) if isinstance(several, Sequence) else [several]
