"""The cut-out beside its photo, and the brush that corrects it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import gradio as gr
from PIL import Image

from app.ui import markup
from app.ui.components import Canvas, OneOf
from app.ui.events import ON_PHOTOS, on_change, on_click
from app.ui.parts import Changes
from app.ui.subject_picker.masks import (
    LESS,
    MORE,
    corrected,
    layers_data,
    outlined_photo,
    packed,
    shown_cut_out,
    unpacked,
)
from app.ui.subject_picker.picks import is_card
from app.ui.texts import said
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import BlipdiffError
from blipdiff.images import open_layers

Held: TypeAlias = list[tuple[str, str]]  # what each file is called on the page, and its path

_NO_PHOTO = "This card keeps no photo, so Detail has nothing to read; make it anew from a photo to change that."
_OF_CARD = "The cut-out that the card keeps. To correct it, make the card anew from a photo."
_HINT = (
    "Grey is left out; the rest is the subject, which Detail reads. Paint green what belongs to it, red what does not: "
    "the palette changes the colour, the rubber takes strokes back."
)


class CutOutBrush:
    """Placed in the current Blocks; nothing is cut out before it is opened."""

    def __init__(self, named: Callable[[str], str]) -> None:
        with gr.Accordion("Cut-out", open=False, elem_id=named("cut-out"), elem_classes="cut-out") as self._frame:
            gr.Markdown(_HINT, elem_classes="hint")
            self._which = OneOf([], label="Cut-out of", elem_id=named("cut-out-of"), elem_classes="cut-out-of")
            self.canvas = _canvas(named("cut-out-canvas"))
            self._note = gr.HTML("", elem_id=named("cut-out-note"))
            with gr.Row():
                self._look = gr.Button("Show the cut-out", size="sm", elem_id=named("cut-out-look"))
                self._again = gr.Button("As it was found", size="sm", elem_id=named("cut-out-again"))
            self._seen = gr.HTML("", elem_id=named("cut-out-seen"))
        # what this visit knows: "open", "shown" (a path), "found" and "masks" (packed, by path)
        self._known = gr.State({})

    @property
    def inputs(self) -> list[Any]:
        """What `masks` reads."""
        return [self.canvas, self._known]

    @property
    def outputs(self) -> list[Any]:
        """What `recalled` changes."""
        return [self._known, self._which, self.canvas, self._note, self._seen]

    def connect(self, holders: Sequence[Any], held: Callable[..., Held], changed: Sequence[Any]) -> None:
        """held: what the picker holds, from the values of `holders`; changed: the events that may change it"""

        def shown(known: Any, *values: Any) -> Changes:
            return self.show(held(*values), known)

        def opened(known: Any, *values: Any) -> Changes:
            return self.show(held(*values), _known(known) | {"open": True})

        def turned(known: Any, canvas: Any, place: Any, *values: Any) -> Changes:
            return self.turn(held(*values), canvas, known, place)

        on_change(self._frame.expand, opened, [self._known, *holders], self.outputs, ON_PHOTOS)
        on_change(list(changed), shown, [self._known, *holders], self.outputs, ON_PHOTOS)
        read = [self._known, self.canvas, self._which, *holders]
        on_change(self._which.input, turned, read, self.outputs, ON_PHOTOS)
        on_click(self._look, self.look, [self.canvas, self._known], [self._seen], ON_PHOTOS)
        on_click(self._again, self.begin_again, [self._known], self.outputs, ON_PHOTOS)

    def masks(self, canvas: Mapping[str, Any] | None, known: Any) -> dict[str, Image.Image]:
        """The masks that were corrected, by their photos' paths; what the canvas shows is one of them."""
        kept = _with_canvas(_known(known), canvas)
        return {path: unpacked(mask) for path, mask in kept["masks"].items()}

    def filled(self, masks: Mapping[str, Image.Image]) -> Changes:
        """The brush for files that come with masks."""
        kept = {path: packed(mask) for path, mask in masks.items()}
        return self._emptied({"masks": kept, "open": False})

    def show(self, held: Held, known: Any, turned_to: str | None = None) -> Changes:
        """The cut-out of one of these files, once the brush is open: of the one that is shown already if it can be."""
        told, paths = _known(known), [path for _, path in held]
        masks = {path: mask for path, mask in told["masks"].items() if path in paths}
        told |= {"masks": masks}
        names = [(f"{label}. {_name(path)}", place) for place, (label, path) in enumerate(held)]
        wanted = turned_to or (told.get("shown") if told.get("shown") in paths else None)
        if wanted is not None and wanted == told.get("shown"):
            return {self._known: told, self._which: _choice(names, paths.index(wanted))}
        if not told.get("open") or not paths:
            return self._emptied({"masks": masks, "open": told.get("open", False)})
        wanted = wanted or paths[0]
        return {self._which: _choice(names, paths.index(wanted))} | self._opened(wanted, told)

    def turn(self, held: Held, canvas: Mapping[str, Any] | None, known: Any, place: Any) -> Changes:
        """Another one's cut-out; what was painted on the one before is kept."""
        if not isinstance(place, int) or not 0 <= place < len(held):
            return gr.skip()  # type: ignore[no-any-return]
        return self.show(held, _with_canvas(_known(known), canvas), held[place][1])

    def look(self, canvas: Mapping[str, Any] | None, known: Any) -> Changes:
        """The subject without its ground, as it is painted now."""
        told = _with_canvas(_known(known), canvas)
        path = told.get("shown")
        if not path or is_card(path):
            return gr.skip()  # type: ignore[no-any-return]
        mask = unpacked(told["masks"].get(path) or told["found"])
        return {self._seen: _figure(shown_cut_out(open_layers(path), mask))}

    def begin_again(self, known: Any) -> Changes:
        """The cut-out as it was found, without what was painted."""
        told = _known(known)
        path = told.get("shown")
        if not path:
            return gr.skip()  # type: ignore[no-any-return]
        told |= {"masks": {one: mask for one, mask in told.get("masks", {}).items() if one != path}}
        return self._opened(path, told)

    def _opened(self, path: str, known: dict[str, Any]) -> Changes:
        known |= {"shown": path, "open": True}
        if is_card(path):
            return self._of_card(path, known)
        try:
            photo = open_layers(path)
        except BlipdiffError:  # said beside the field
            return self._emptied(known | {"shown": None})
        kept = known["masks"].get(path)
        found = outlined_photo(photo, None if kept is None else unpacked(kept))
        canvas = {"background": found.canvas, "layers": [], "composite": None}
        return {
            self._known: known | {"found": packed(found.mask)},
            self.canvas: canvas,
            self._note: markup.message(found.note, "plain" if found.is_sure else "bad"),
            self._seen: _figure(shown_cut_out(photo, found.mask)),
        }

    def _of_card(self, path: str, known: dict[str, Any]) -> Changes:
        try:
            layers = SubjectEmbedding.load(path).cut_out
        except BlipdiffError:
            layers = None
        return {
            self._known: known,
            self.canvas: None,
            self._note: markup.message(said(_NO_PHOTO) if layers is None else said(_OF_CARD)),
            self._seen: "" if layers is None else _figure(layers_data(layers)),
        }

    def _emptied(self, known: dict[str, Any]) -> Changes:
        return {
            self._known: known | {"shown": None},
            self._which: gr.Radio(choices=[], value=None),
            self.canvas: None,
            self._note: markup.message(said("Add a photo first.")) if known.get("open") else "",
            self._seen: "",
        }


def _choice(names: list[tuple[str, int]], place: int) -> Any:
    """Which of several is shown; nothing to choose where there is one."""
    return gr.Radio(choices=names if len(names) > 1 else [], value=place if len(names) > 1 else None)


def _name(path: str) -> str:
    name = Path(path).name
    return name if len(name) <= 24 else f"{name[:23]}…"


def _known(known: Any) -> dict[str, Any]:
    return {"masks": {}} | dict(known or {})


def _with_canvas(known: dict[str, Any], canvas: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is known, with what is painted on the canvas now."""
    path, found = known.get("shown"), known.get("found")
    layers = [] if canvas is None else [one for one in canvas.get("layers") or [] if one is not None]
    if not path or not found or is_card(path) or not layers:
        return known
    before = unpacked(found)
    whole = Image.new("RGBA", layers[0].size)
    for one in layers:
        whole = Image.alpha_composite(whole, one.convert("RGBA").resize(whole.size))
    mask = corrected(before, whole)
    return known if mask is None else known | {"masks": known["masks"] | {path: packed(mask)}}


def _figure(source: str) -> str:
    if not source:
        return markup.message(said("Nothing is left of the photo, or all of it."), "bad")
    alt = markup.escaped(said("The subject without its ground"))
    return f'<figure class="on-checks"><img src="{source}" alt="{alt}"></figure>'


def _canvas(name: str) -> Any:
    return Canvas(
        label="The photo",
        show_label=False,
        type="pil",
        image_mode="RGBA",
        sources=(),
        brush=gr.Brush(colors=[MORE, LESS], color_mode="fixed"),
        transforms=(),
        layers=False,
        buttons=[],
        height=340,
        elem_id=name,
        elem_classes="paintable",
    )
