"""The tab that stylizes: a look, a structure with its map at once, and the result beside the structure."""

from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr
from PIL import Image

from app.cli.files import check_writable
from app.settings import Settings
from app.ui import markup, parts
from app.ui.drawing import Changes, Run, followed
from app.ui.events import ON_PHOTOS, on_cancel, on_change, on_draw
from app.ui.files import served, without_folder
from app.ui.orders import Order, Orders
from app.ui.photos import photo_field
from blipdiff.checkpoints.controls import BUNDLED_CONTROLS, map_of_control
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.control.preprocessors import PREPROCESSORS
from blipdiff.errors import BlipdiffError, ConfigError, SubjectError
from blipdiff.filenames import short_name
from blipdiff.images import fitted, open_picture
from pipelines.requests import GenerateRequest, Parameter, parameters
from pipelines.results import Picture, save_new_picture
from pipelines.studio import Studio
from pipelines.stylize import Stylist, map_of, structure_size
from pipelines.stylize_request import ControlSettings, StylizeRequest

_DRAWING, _CONTROL, _STYLE = parameters(GenerateRequest), parameters(ControlSettings), parameters(StylizeRequest)
_WORDS = ("category", "target", "prompt")
_SETTINGS = ("count", "seed", "steps", "guidance", "negative")
_FOLLOWED = ("strength", "start", "stop", "guess")
_SUBJECT = tuple(_STYLE)
_SLIDERS = tuple((one.name, name) for one in PREPROCESSORS.values() for name in one.settings)


def stylize_tab(studio: Studio, settings: Settings, orders: Orders) -> None:
    """Builds the tab in the current Blocks."""
    placed: dict[str, Any] = {}
    with gr.Row(elem_classes="workbench"):
        with gr.Column(scale=5, min_width=300):
            look = photo_field("Look: a photo of the subject", "stylize-look", 200).photo
            for name in _WORDS:
                _place(placed, name, _DRAWING[name], "", max_lines=1)
            structure = photo_field("Structure: a picture to follow", "stylize-structure", 200).photo
            control = gr.Dropdown(
                list(BUNDLED_CONTROLS),
                value=BUNDLED_CONTROLS[0],
                allow_custom_value=True,
                label=_CONTROL["control"].label,
                info=_CONTROL["control"].help,
                elem_id="stylize-control",
            )
            _place(placed, "preprocessor", _CONTROL["preprocessor"], "canny")
            groups = _map_settings(placed)
            _place(placed, "structure_fit", _CONTROL["structure_fit"], "crop")
            for name in _FOLLOWED:
                _place(placed, name, _CONTROL[name], getattr(ControlSettings(), name))
            with gr.Accordion("Subject", open=False):
                for name in _SUBJECT:
                    _place(placed, name, _STYLE[name], StylizeRequest.__dataclass_fields__[name].default)
            with gr.Accordion("Settings", open=False):
                own = {"guidance": studio.model.guidance, "count": 1}
                for name in _SETTINGS:
                    default = own.get(name, GenerateRequest.__dataclass_fields__[name].default)
                    _place(placed, name, _DRAWING[name], default)
        with gr.Column(scale=8, min_width=300):
            with gr.Row():
                map_shown = gr.Image(
                    label="Map",
                    interactive=False,
                    format="png",
                    buttons=["download"],
                    height=380,
                    min_width=260,
                    elem_id="stylize-map",
                )
                slider = gr.ImageSlider(
                    label="Structure and result",
                    interactive=False,
                    format="png",
                    height=380,
                    min_width=260,
                    elem_id="stylize-slider",
                    elem_classes="compared",
                )
            with gr.Row():
                draw = gr.Button("Stylize", variant="primary", elem_id="stylize-draw", min_width=120)
                cancel = gr.Button("Cancel", elem_id="stylize-cancel", min_width=80)
            status = gr.HTML(markup.message("Add a look and a structure."), elem_id="stylize-status")
            gallery = gr.Gallery(
                label="Pictures",
                show_label=False,
                columns=4,
                object_fit="contain",
                interactive=False,
                elem_id="stylize-gallery",
            )
    events = _Events(Stylist(studio), settings, list(placed), _Shown(map_shown, slider, status, gallery))
    map_fields = [structure, control, *placed.values()]
    on_change(control.change, lambda name: map_of_control(name) or gr.skip(), control, placed["preprocessor"])
    changed = [one.change for one in (structure, placed["preprocessor"], placed["structure_fit"])]
    released = [placed[_field(*key)].release for key in _SLIDERS]
    on_change([*changed, *released], events.preview, map_fields, [map_shown, status], ON_PHOTOS)
    on_change(
        placed["preprocessor"].change,
        lambda chosen: [gr.Group(visible=name == chosen) for name in groups],
        placed["preprocessor"],
        list(groups.values()),
    )
    on_draw(draw, orders, status, events.draw, [look, *map_fields], [status, slider, gallery])
    on_cancel(cancel, orders, status)


class _Shown:
    """What the handlers change."""

    def __init__(self, map_shown: Any, slider: Any, status: Any, gallery: Any) -> None:
        self.map, self.slider, self.status, self.gallery = map_shown, slider, status, gallery


class _Events:
    """The tab's handlers."""

    def __init__(self, stylist: Stylist, settings: Settings, names: list[str], on: _Shown) -> None:
        self._stylist, self._settings, self._names, self._on = stylist, settings, names, on

    def preview(self, structure: str | None, control: str, *values: Any) -> Changes:
        """The map that would be followed, or why there is none."""
        if structure is None:
            return {self._on.map: None}
        try:
            asked = dict(zip(self._names, values, strict=True))
            picture = open_picture(structure)
            drawing = GenerateRequest(category="subject")
            size = structure_size(self._stylist.studio.model, drawing, picture)
            drawn = map_of(self._stylist.preprocessors, _control(control, asked), picture, size)
        except BlipdiffError as error:
            return {self._on.map: None, self._on.status: markup.message(without_folder(str(error)), "bad")}
        return {self._on.map: drawn, self._on.status: markup.message("The map is ready.")}

    def draw(self, order: Order, look: str | None, structure: str | None, control: str, *values: Any) -> Run:
        """The pictures, saved in the output folder; the newest beside the structure."""
        found: list[tuple[str, str]] = []
        beside: list[Image.Image] = []

        def begin() -> Callable[[], Any]:
            if look is None or structure is None:
                raise SubjectError(f"There is no {'look' if look is None else 'structure'} yet; add a photo.")
            asked = dict(zip(self._names, values, strict=True))
            request = _request(control, asked)
            check_writable(self._settings.output)
            maps = self._stylist.maps(request, [open_picture(structure)])
            photo = SubjectPhoto(open_picture(look), request.drawing.category)
            subject = self._stylist.studio.subject([photo], fit=request.drawing.fit)
            beside.append(fitted(open_picture(structure), maps[0].size, "crop"))
            return partial(self._stylist.run, request, subject, maps)

        def shown(event: Picture) -> Changes:
            stem = f"{short_name(event.request['category'])}-{event.seed}"
            path = save_new_picture(event, self._settings.output, stem)
            found.append((served(path), f"seed {event.seed}"))
            return {self._on.slider: (beside[0], event.image), self._on.gallery: list(found)}

        def ended() -> Changes:
            count = f"{len(found)} {'picture' if len(found) == 1 else 'pictures'}"
            return {self._on.status: markup.message(f"{count}, saved in {self._settings.output}.", "good")}

        return (yield from followed(order, self._on.status, begin, shown, ended))


def _place(placed: dict[str, Any], name: str, declared: Parameter, default: Any, **looks: Any) -> None:
    identity = f"stylize-{name.replace('_', '-')}"
    if isinstance(default, bool):
        placed[name] = gr.Checkbox(default, label=declared.label, info=declared.help, elem_id=identity)
    else:
        placed[name] = parts.control(name, declared, default, **{"elem_id": identity, **looks})


def _map_settings(placed: dict[str, Any]) -> dict[str, Any]:
    """A group of sliders for each preprocessor that has settings, the chosen one's in sight."""
    groups = {}
    for one in PREPROCESSORS.values():
        if not one.settings:
            continue
        with gr.Group(visible=one.name == "canny") as groups[one.name]:
            for name, it in one.settings.items():
                placed[_field(one.name, name)] = gr.Slider(
                    it.low, it.high, value=it.default, step=it.step, label=it.label, info=it.help,
                    elem_id=f"stylize-{one.name}-{name}",
                )  # fmt: skip
    return groups


def _field(preprocessor: str, setting: str) -> str:
    return f"{preprocessor}/{setting}"


def _control(name: str, asked: dict[str, Any]) -> ControlSettings:
    chosen = asked["preprocessor"]
    settings = {setting: asked[_field(chosen, setting)] for owner, setting in _SLIDERS if owner == chosen}
    return ControlSettings(
        control=str(name or ""),
        preprocessor=chosen,
        map_settings=settings,
        structure_fit=asked["structure_fit"],
        **{key: asked[key] for key in _FOLLOWED},
    )


def _request(control: str, asked: dict[str, Any]) -> StylizeRequest:
    drawing = {name: asked[name] for name in (*_WORDS, *_SETTINGS)}
    text = str(asked["seed"]).strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 30:
        raise ConfigError(f"Seed is '{text[:30]}'; give a whole number of 0 or more.")
    drawing |= {"seed": int(text), "target": str(asked["target"] or "").strip() or None}
    return StylizeRequest(
        drawing=GenerateRequest(**drawing),
        controls=(_control(control, asked),),
        **{name: asked[name] for name in _SUBJECT},
    )
