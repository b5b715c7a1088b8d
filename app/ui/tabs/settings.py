"""The tab of the settings: models, folders, room, previews, language, look; kept in the settings file."""

from dataclasses import replace
from typing import Any

import gradio as gr

from app.settings import THEMES, checked_setting, fixed_settings, save_settings, settings_file
from app.ui import markup
from app.ui.components import OneOf
from app.ui.events import AT_ONCE, SILENT, on_click
from app.ui.models import ELSEWHERE, ModelChoice, ModelsPart
from app.ui.notices import guarded
from app.ui.parts import Changes
from app.ui.room import Room
from app.ui.texts import said
from app.ui.visits import is_at_the_machine
from blipdiff.errors import BlipdiffError, ConfigError
from blipdiff.ranges import INT8, TORCH

_FOLDERS = {
    "output": ("Pictures", "Where commands put their pictures, and where you look for them."),
    "history": ("History", "Where the page keeps all that was drawn here, and what waits to be drawn."),
    "library": ("Subjects", "Where the subjects lie that you have saved under a name."),
    "presets": ("Presets", "Where the settings lie that you have saved under a name."),
    "models": ("Own models", "A folder with models of yours, each in a folder of its own: merged ones, trained ones."),
    "files": (
        "Your files",
        "Folders of LoRAs, embeddings, VAEs and ControlNets, with : or ; between them as in PATH; the first one takes "
        "what is uploaded.",
    ),
}
_ENGINE = (
    "What computes the networks. OpenVINO is faster for models of full size on processors, where it is installed and "
    "memory suffices; in 8 bits, where `blipdiff quantize` has made the model's U-Net so."
)
_THEME_JS = """(theme) => { if (theme !== "auto") document.body.classList.toggle("dark", theme === "dark"); }"""
_GB = 1_000_000_000
_LATER = "Folders, the first model and the engine count from the next start on; the rest counts now."


def settings_tab(room: Room, choice: ModelChoice, tab: Any) -> None:
    """Builds the tab in the current Blocks; tab: its own gr.Tab."""
    settings, fixed = room.settings, fixed_settings()

    def held(name: str, info: str) -> dict[str, Any]:
        """How a field stands that the environment may set."""
        told = {"info": info, "variable": fixed.get(name)}
        info = said("{info} {variable} sets it now.", **told) if name in fixed else info
        return {"info": info, "interactive": name not in fixed, "elem_id": f"setting-{name}"}

    def text(name: str, label: str, info: str) -> Any:
        return gr.Textbox(str(getattr(settings, name)), label=label, max_lines=1, **held(name, info))

    with gr.Column(elem_id="settings"):
        ModelsPart(room, choice).connect(tab)
        gr.Markdown("### Settings")
        fields = {
            "model": text(
                "model", "First model", "The one that draws when the page is opened: mini, a hub id, a folder."
            )
        }
        for name, (label, info) in _FOLDERS.items():
            fields[name] = text(name, label, info)
        fields["engine"] = OneOf(
            [("The faster one", "auto"), ("torch", TORCH), ("OpenVINO", "openvino"), ("OpenVINO, 8 bits", INT8)],
            value=settings.engine, label="What computes", **held("engine", _ENGINE),
        )  # fmt: skip
        fields["space"] = gr.Textbox(
            _gigabytes(settings.space), label="Room for the history, in GB", max_lines=1, elem_id="setting-space",
            info="When it is full, the oldest pictures that are no favourites go. Empty: no limit.",
        )  # fmt: skip
        fields["previews"] = gr.Checkbox(
            settings.previews, label="Show pictures while they are drawn", elem_id="setting-previews",
            info="Without them each picture is there a little sooner, and nothing is seen before.",
        )  # fmt: skip
        fields["theme"] = OneOf(
            [("As the browser has it", "auto"), ("Light", "light"), ("Dark", "dark")], value=settings.theme,
            label="Look", info="Light or dark.", elem_id="setting-theme",
        )  # fmt: skip
        speech = OneOf(
            [("As the browser has it", "auto"), ("English", "en"), ("简体中文", "zh")], value="auto",
            label="Language / 语言", info="It is kept in this browser, and the page is loaded anew in it.",
            elem_id="setting-language",
        )  # fmt: skip
        speech.input(None, speech, None, js="blipdiff.speak", **SILENT)
        room.page.load(None, None, speech, js="blipdiff.chosenLanguage", **SILENT)
        save = gr.Button("Save the settings", variant="primary", elem_id="settings-save")
        status = gr.HTML(markup.message(_where()), elem_id="settings-status", elem_classes="status")

    kept: dict[str, Any] = {}  # as saved last

    def saved(visit: gr.Request, *values: Any) -> Changes:
        return {status: _saved(room, visit, dict(zip(fields, values, strict=True)), kept)}

    def shown() -> Changes:
        return {fields[name]: _gigabytes(one) if name == "space" else one for name, one in kept.items()}

    event = on_click(save, saved, [*fields.values()], status)
    event.success(None, fields["theme"], None, js=_THEME_JS, **SILENT)
    loaded = room.page.load(guarded(shown), None, [*fields.values()], **AT_ONCE)
    loaded.then(None, fields["theme"], None, js=_THEME_JS, **SILENT)


def _saved(room: Room, visit: gr.Request, given: dict[str, Any], kept: dict[str, Any]) -> str:
    """The changed ones go into the file; what it says then, as HTML."""
    if not is_at_the_machine(visit):
        return markup.message(said(ELSEWHERE), "bad")
    fixed = fixed_settings()
    try:
        given["space"] = _number(given["space"])
        fresh = {name: checked_setting(name, value) for name, value in given.items() if name not in fixed}
        if fresh["theme"] not in THEMES:
            raise ConfigError(said("The look is light, dark, or as the browser has it."))
        path = save_settings({name: one for name, one in fresh.items() if kept.get(name, _shown(room, name)) != one})
        kept |= fresh
    except BlipdiffError as error:
        return markup.message(str(error), "bad")
    room.settings = replace(room.settings, **{name: fresh[name] for name in ("previews", "theme", "space")})
    room.workshop.history.most = None if fresh["space"] is None else round(fresh["space"] * _GB)
    return markup.message(said("Saved in {path}. {later}", path=path, later=said(_LATER)), "good")


def _shown(room: Room, name: str) -> Any:
    """A setting as its field first showed it."""
    value = getattr(room.settings, name)
    return value if name in ("engine", "space", "previews", "theme") else str(value)


def _gigabytes(space: float | None) -> str:
    return "" if space is None else f"{space:g}"


def _number(text: str) -> float | None:
    """What was typed. Raises: ConfigError for what is no number."""
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise ConfigError(
            said("The room is {text}; type a number of GB, or nothing for no limit.", text=f"{text!r:.40}")
        ) from None


def _where() -> str:
    path = settings_file()
    if path is None:
        return said("There is no place for a settings file here.")
    return said("They are kept in {path}. {later}", path=path, later=said(_LATER))
