"""What a built page answers, asked as a browser asks it: by the names of its elements, with what stands in them."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr

VISIT = SimpleNamespace(session_hash="visit")


class Asked:
    """One visit to a page; changes are by the names of elements, which is what components are known by here."""

    def __init__(self, page: gr.Blocks) -> None:
        self._page = page
        self._named = {block.elem_id: block for block in page.blocks.values() if block.elem_id}

    def __getitem__(self, name: str) -> Any:
        return self._named[name]

    def __contains__(self, name: str) -> bool:
        return name in self._named

    def click(self, name: str, /, older: list[Any] | None = None, **typed: Any) -> dict[str, Any]:
        """What a click on a button is answered; `typed` is by elements' names with _ for -."""
        return self._answer(self._after_click(name)[0], typed, older)

    def drawn(self, name: str, /, older: list[Any] | None = None) -> Iterator[dict[str, Any]]:
        """What the model, once free, answers to the last click on a button."""
        values = gr.helpers.special_args(self._after_click(name)[1].fn, inputs=[older or []], request=VISIT)[0]
        for changes in self._after_click(name)[1].fn(*values):
            yield self._by_name(changes)

    def changed(self, name: str, kind: str, **typed: Any) -> dict[str, Any]:
        """What the change of a field is answered."""
        target = (self._named[name]._id, kind)
        [event] = [one for one in self._page.fns.values() if target in one.targets and one.fn is not None]
        return self._answer(event, typed, None)

    def cancelled(self, name: str) -> dict[str, Any]:
        """What a click on Cancel is answered."""
        return self.changed(name, "click")

    def _after_click(self, name: str) -> list[Any]:
        """The events that a click on a button leads to, one after the other."""
        target = (self._named[name]._id, "click")
        events = list(self._page.fns.values())
        [last] = [one for one in events if target in one.targets and "settled" in str(one.js)]
        found = []
        while after := [one for one in events if one.trigger_after == last._id]:
            [last] = after
            found.append(last)
        return found

    def _answer(self, event: Any, typed: dict[str, Any], older: list[Any] | None) -> dict[str, Any]:
        given = {name.replace("_", "-"): value for name, value in typed.items()}
        values = [
            (older or []) if isinstance(block, gr.State) else given.pop(block.elem_id, block.value)
            for block in event.inputs
        ]
        assert not given, f"no such inputs: {sorted(given)}"
        given_by_gradio = gr.helpers.special_args(event.fn, inputs=values, request=VISIT)[0]  # type: ignore[arg-type]
        return self._by_name(event.fn(*given_by_gradio))

    @staticmethod
    def _by_name(changes: Any) -> dict[str, Any]:
        if not isinstance(changes, dict) or "__type__" in changes:
            return {}
        return {block.elem_id or type(block).__name__: value for block, value in changes.items()}
