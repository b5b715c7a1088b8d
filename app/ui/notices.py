"""What comes up over the page: a sentence, or that something is a bug. Gradio shows it as HTML; here it is escaped."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from functools import wraps
from inspect import isasyncgenfunction, isgeneratorfunction, unwrap
from typing import Any

import gradio as gr

from app.ui import markup
from app.ui.texts import retold, said


def notice(text: str) -> None:
    """A sentence that a person should see and that goes away by itself."""
    gr.Warning(markup.escaped(retold(text)))


def news(text: str) -> None:
    """A sentence on what has been done, where nothing else shows it."""
    gr.Info(markup.escaped(retold(text)))


def refusal(text: str) -> gr.Error:
    """What to raise where the browser sent what cannot be used."""
    return gr.Error(markup.escaped(retold(text)))


def bug(error: Exception) -> str:
    """One sentence on a fault of ours."""
    told = {"kind": type(error).__name__, "error": error}
    return said("This is a bug in blipdiff: {kind}: {error}. The terminal shows where.", **told)


def guarded(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The handler, whose bugs come up in one sentence: what they tell may hold foreign text, such as a file's name."""
    inner = unwrap(getattr(handler, "func", handler))
    if isasyncgenfunction(inner):

        @wraps(handler)
        async def telling(*values: Any) -> AsyncIterator[Any]:
            try:
                async with aclosing(handler(*values)) as told:
                    async for changes in told:
                        yield _unless_empty(changes)
            except gr.Error:
                raise
            except Exception as error:
                raise _shown(error) from error

        return telling
    if isgeneratorfunction(inner):

        @wraps(handler)
        def going(*values: Any) -> Iterator[Any]:
            try:
                for changes in handler(*values):
                    yield _unless_empty(changes)
            except gr.Error:
                raise
            except Exception as error:
                raise _shown(error) from error

        return going

    @wraps(handler)
    def answering(*values: Any) -> Any:
        try:
            return _unless_empty(handler(*values))
        except gr.Error:
            raise
        except Exception as error:
            raise _shown(error) from error

    return answering


def _shown(error: Exception) -> gr.Error:
    return gr.Error(markup.escaped(bug(error)), title=said("A bug"), duration=None)


def _unless_empty(answer: Any) -> Any:
    """The answer; changes of nothing as Gradio takes them, which would read an empty mapping as a value."""
    return gr.skip() if isinstance(answer, dict) and not answer else answer
