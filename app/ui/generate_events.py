"""What happens on the tab that generates: each method answers one event with the components that it changes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import gradio as gr

from app.ui import form, markup
from app.ui.drawing import Changes, Run
from app.ui.events import BUSY
from app.ui.files import kept_card, readable_settings, served, served_card, subject_of
from app.ui.generate_layout import Layout
from app.ui.notices import bug, notice
from app.ui.orders import Order, Orders
from app.ui.run import View, views
from app.ui.subjects import by_name, category_of, check_references, looked_through, references
from app.ui.suggestions import Suggestions
from blipdiff.errors import BlipdiffError, SubjectError
from pipelines.results import read_metadata
from pipelines.studio import Studio

Saved: TypeAlias = tuple[str, int]  # a picture's copy for the browser, which nobody moves, and its seed

_UNCHANGED: Changes = gr.skip()
_MOST_PICTURES = 64  # of one visit; the files of older ones stay where they are


class GenerateEvents:
    """The tab's handlers, on one studio and one output folder."""

    def __init__(
        self, studio: Studio, output: Path, orders: Orders, layout: Layout, suggestions: Suggestions | None = None
    ) -> None:
        self._studio = studio
        self._output = output
        self._on = layout
        self._orders = orders
        self._suggestions = suggestions or Suggestions()

    def look_at_subject(self, paths: list[str] | None, category: str) -> Changes:
        """Shows what was dropped; what cannot be used is said and left out."""
        found = looked_through(paths or [])
        changes: Changes = {self._on.subject.strip: markup.subjects(found.tiles)}
        if found.complaints:
            notice(" ".join(found.complaints))
            changes[self._on.subject.files] = list(found.paths) or None
        told = next((tile.category for tile in found.tiles if tile.category), None)
        if told and not category.strip():
            changes[self._on.fields["category"]] = told
        unnamed = bool(found.paths) and not told and not category.strip()
        changes[self._on.subject.suggestions] = gr.Radio(
            choices=_offered(self._suggestions.of(found.paths[0])) if unnamed else [], value=None
        )
        return changes

    def use_suggestion(self, name: str | None) -> Changes:
        """The suggested category that was chosen; the suggestions have done their work."""
        if not name:
            return _UNCHANGED
        return {self._on.fields["category"]: name, self._on.subject.suggestions: gr.Radio(choices=[], value=None)}

    def use_example(self, path: Path) -> Changes:
        """A bundled photo and what it shows."""
        return {self._on.subject.files: [served(path)], self._on.fields["category"]: category_of(path)}

    def ask(self, visit: gr.Request, paths: list[str] | None, pictures: list[Saved], *values: Any) -> Changes:
        """Checks what was asked for, and puts it in the line; `generate` draws it."""
        paths = paths or []
        try:
            if not paths:
                raise SubjectError("There is no subject yet; add a photo or a subject card.")
            request = form.request_of(dict(zip(form.NAMES, values[:-1], strict=True)), random_seed=values[-1])
            check_references(paths, request.category)
            order = Order(request, tuple(paths))
        except BlipdiffError as error:
            notice(by_name(error, paths))
            return self._at_rest(by_name(error, paths), "bad", pictures)
        if not self._orders.place(_name(visit), order):
            notice(BUSY)
            return _UNCHANGED
        return {
            self._on.action.status: markup.progress("Waiting for the model", None, 1),
            self._on.action.cancel: gr.Button(variant="stop"),
            self._on.fields["seed"]: str(request.seed),
        }

    def generate(self, visit: gr.Request, older: list[Saved]) -> Iterator[Changes]:
        """Draws what the visit asked for last. It alone tells how far it is, so that nothing overtakes its end."""
        order = self._orders.begin(_name(visit))
        if order is None:
            yield _UNCHANGED
            return
        try:
            last = yield from self._drawn(order, older)
        except BlipdiffError as error:
            notice(by_name(error, order.paths))
            last = self._at_rest(by_name(error, order.paths), "bad", older)
        except Exception as error:
            self._orders.end(_name(visit))
            yield self._at_rest(bug(error), "bad", older)
            raise
        finally:
            self._orders.end(_name(visit))
        yield last

    def cancel(self, visit: gr.Request, pictures: list[Saved]) -> Changes:
        """Calls the visit's order off; a run that is going on tells its end itself."""
        place = self._orders.call_off(_name(visit))
        if place == "drawing":
            return _UNCHANGED
        text = "Cancelled before it began." if place == "waiting" else "Nothing is being drawn."
        return self._at_rest(text, "plain", pictures)

    def leave(self, visit: gr.Request) -> None:
        """The visit's tab is closed: nobody waits for its pictures."""
        self._orders.call_off(_name(visit))

    def choose(self, pictures: list[Saved], event: gr.SelectData) -> Changes:
        """The details of the picture that was clicked."""
        return self._details(pictures[event.index])

    def reuse_seed(self, chosen: Saved | None) -> Changes:
        """The selected picture's seed for the next run."""
        if chosen is None:
            return _UNCHANGED
        return {self._on.fields["seed"]: str(chosen[1]), self._on.random_seed: False}

    def fill_from_picture(self, path: str | None) -> Changes:
        """The form as it was when the picture was made, with its subject as a card."""
        on = self._on
        if path is None:
            return _UNCHANGED
        try:
            metadata = read_metadata(path)
            values = form.values_from_picture(metadata)
        except BlipdiffError as error:
            notice(by_name(error, [path]))
            return {on.keeping.made_here: None}
        changes: Changes = {on.fields[name]: value for name, value in values.items()}
        changes |= {on.random_seed: False, on.keeping.made_here: None}
        try:
            changes[on.subject.files] = [served_card(subject_of(metadata, self._studio.model))]
            text = f"The form is as it was for seed {values['seed']}; Generate draws it again."
            return changes | {on.action.status: markup.message(text, "good")}
        except BlipdiffError as error:
            notice(f"The settings are filled in, without the subject. {error}")
            return changes

    def save_card(self, paths: list[str] | None, category: str, fit: str) -> Changes:
        """Encodes the subject and keeps it as a file."""
        paths = paths or []
        try:
            subject = self._studio.subject(references(paths, category), fit=fit)
            path = kept_card(subject, self._output)
        except BlipdiffError as error:
            notice(by_name(error, paths))
            return _UNCHANGED
        link = gr.DownloadButton(f"Download {path.name}", value=served(path), visible=True)
        return {self._on.keeping.card: link, self._on.action.status: markup.message(f"Saved as {path}.", "good")}

    def _drawn(self, order: Order, older: list[Saved]) -> Run:
        began = time.monotonic()
        finished = 0
        notices: list[str] = []
        subject = references(order.paths, order.request.category)
        seen = views(self._studio, order.request, subject, self._output, is_stopped=order.called_off.is_set)
        with closing(seen):
            for view in seen:
                notices += view.notices
                for text in view.notices:
                    notice(text)
                if view.was_stopped:
                    text = f"Cancelled after step {view.step} of {view.steps}."
                    return self._at_rest(text, "plain", [*view.finished, *older])
                changes = self._shown(view)
                if len(view.finished) > finished:
                    finished = len(view.finished)
                    changes |= self._pictures([*((served(path), seed) for path, seed in view.finished), *older])
                yield changes
        return self._finished(view, time.monotonic() - began, notices)

    def _shown(self, view: View) -> Changes:
        changes: Changes = {self._on.action.status: _how_far(view)}
        if view.previews is not None:
            changes[self._on.result.stage] = markup.previews(view.previews, view.seeds)
        return changes

    def _pictures(self, pictures: list[Saved]) -> Changes:
        kept = pictures[:_MOST_PICTURES]
        shown = [(path, f"seed {seed}") for path, seed in kept]
        gallery = gr.Gallery(shown, columns=markup.columns(len(shown)), selected_index=None)
        return {self._on.memory.pictures: kept, self._on.result.gallery: gallery}

    def _finished(self, view: View, seconds: float, notices: Sequence[str]) -> Changes:
        path, seed = view.finished[0]
        count = len(view.finished)
        text = f"{count} {'picture' if count == 1 else 'pictures'} in {_duration(seconds)}, saved in {path.parent}."
        rest = self._at_rest(" ".join((text, *notices)), "good", view.finished)
        return rest | self._details((served(path), seed))

    def _at_rest(self, text: str, kind: str, pictures: Sequence[Any]) -> Changes:
        """The page when nothing is being drawn."""
        on = self._on
        return {
            on.action.status: markup.message(text, kind),
            on.action.cancel: gr.Button(variant="secondary"),
            on.result.stage: "" if pictures else markup.welcome(),
        }

    def _details(self, picture: Saved) -> Changes:
        on = self._on.result
        path, seed = picture
        try:
            metadata = readable_settings(read_metadata(path))
        except BlipdiffError as error:
            notice(str(error))
            return _UNCHANGED
        return {
            on.details: gr.Accordion(f"The selected picture, seed {seed}"),
            on.metadata: metadata,
            on.download: gr.DownloadButton(value=path),
            self._on.memory.chosen: picture,
        }


def _offered(categories: Sequence[tuple[str, float]]) -> list[tuple[str, str]]:
    """What is to be clicked, with how sure it is, and the category that it stands for."""
    return [(f"{name}, {100 * chance:.0f} %", name) for name, chance in categories]


def _name(visit: gr.Request) -> str:
    return str(visit.session_hash)


def _how_far(view: View) -> str:
    if view.step == 0:
        return markup.progress("Reading the subject and the prompt", None, 1)
    if view.step == view.steps:
        return markup.progress("Finishing the pictures", view.step, view.steps)
    left = "" if view.seconds_left is None else f", about {_duration(max(1, round(view.seconds_left)))} left"
    return markup.progress(f"Step {view.step} of {view.steps}{left}", view.step, view.steps)


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
