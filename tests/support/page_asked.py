"""What a built page answers, asked as a browser asks it: by the names of its elements, with what stands in them."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import gradio as gr

from app.jobs.workshop import Workshop

VISIT = SimpleNamespace(session_hash="visit")
_SECONDS_OF_SILENCE = 2.0  # after which nothing more is told where nothing is drawn


class Asked:
    """One visit to a page; changes are by the names of elements, which is what components are known by here.

    workshop: what draws for the page, so that it is known when a job is over
    """

    def __init__(self, page: gr.Blocks, workshop: Workshop | None = None) -> None:
        self.page, self._workshop = page, workshop
        self._named = {block.elem_id: block for block in page.blocks.values() if block.elem_id}
        self._loop = asyncio.new_event_loop()
        self._thread = ThreadPoolExecutor(1, "page")  # a browser's tests may have a loop of their own in this one
        self._told: Any = None  # what the page is told by itself
        self._next: Any = None

    def __getitem__(self, name: str) -> Any:
        return self._named[name]

    def __contains__(self, name: str) -> bool:
        return name in self._named

    def click(self, name: str, /, **typed: Any) -> dict[str, Any]:
        """What a click on a button is answered; `typed` is by elements' names with _ for -."""
        first, *then = self._after_click(name)
        if then and self._told is None:
            self._told = then[0].fn(VISIT, "")
            self._run(self._told.__anext__())
        return self._answer(first, typed)

    def drawn(self) -> Iterator[dict[str, Any]]:
        """What the page is told until all that was asked for is over."""
        assert self._workshop is not None
        while True:
            try:
                changes = self._by_name(self._run(self._heard()))
            except TimeoutError:
                if self._is_idle():
                    return
                continue
            self._next = None
            yield changes
            if self._is_idle() and any("<progress" not in text for text in _statuses(changes)):
                return

    def close(self) -> None:
        """The page is closed."""
        if self._next is not None:
            self._next.cancel()
            self._run(self._gone())
        if self._told is not None:
            self._run(self._told.aclose())
        self._run(self._loop.shutdown_default_executor())
        self._loop.close()
        self._thread.shutdown()

    def changed(self, name: str, kind: str, **typed: Any) -> dict[str, Any]:
        """What the change of a field is answered."""
        target = (self._named[name]._id, kind)
        [event] = [one for one in self.page.fns.values() if target in one.targets and one.fn is not None]
        return self._answer(event, typed)

    def cancelled(self, name: str) -> dict[str, Any]:
        """What a click on Cancel is answered."""
        return self.changed(name, "click")

    def _run(self, asked: Any) -> Any:
        return self._thread.submit(self._loop.run_until_complete, asked).result()

    async def _heard(self) -> Any:
        """What is told next. Raises: TimeoutError for silence, after which it is still waited for."""
        self._next = self._next or asyncio.ensure_future(self._told.__anext__())
        return await asyncio.wait_for(asyncio.shield(self._next), _SECONDS_OF_SILENCE)

    async def _gone(self) -> None:
        await asyncio.gather(self._next, return_exceptions=True)

    def _is_idle(self) -> bool:
        assert self._workshop is not None
        return self._workshop.queue.count(("waiting", "drawing")) == 0

    def _after_click(self, name: str) -> list[Any]:
        """The events that a click on a button leads to, one after the other."""
        target = (self._named[name]._id, "click")
        events = list(self.page.fns.values())
        [last] = [one for one in events if target in one.targets and "settled" in str(one.js)]
        found = []
        while after := [one for one in events if one.trigger_after == last._id]:
            [last] = after
            found.append(last)
        return found

    def _answer(self, event: Any, typed: dict[str, Any]) -> dict[str, Any]:
        given = {name.replace("_", "-"): value for name, value in typed.items()}
        values = [
            "" if isinstance(block, gr.BrowserState) else given.pop(block.elem_id, block.value)
            for block in event.inputs
        ]
        assert not given, f"no such inputs: {sorted(given)}"
        given_by_gradio = gr.helpers.special_args(event.fn, inputs=values, request=VISIT)[0]  # type: ignore[arg-type]
        answer = event.fn(*given_by_gradio)
        told = answer if isinstance(answer, Iterator) else [answer]  # some tell how far they are
        return {name: value for one in told for name, value in self._by_name(one).items()}

    @staticmethod
    def _by_name(changes: Any) -> dict[str, Any]:
        if not isinstance(changes, dict) or "__type__" in changes:
            return {}
        return {block.elem_id or type(block).__name__: value for block, value in changes.items()}


def _statuses(changes: dict[str, Any]) -> list[str]:
    return [str(value) for name, value in changes.items() if name.rpartition("-")[2] == "status"]
