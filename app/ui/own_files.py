"""Your files on the page: LoRAs, embeddings, VAEs and ControlNets that are here, brought, and chosen for the pictures.

What is chosen is the browser's: it goes into every job that is asked for from then on, on whatever tab.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from app.jobs.own_files import AND, CHECKPOINT, CONTROL, VAE, OwnFile
from app.ui import markup
from app.ui.events import AT_ONCE, on_change
from app.ui.files import without_folder
from app.ui.markup import escaped
from app.ui.notices import guarded, notice
from app.ui.parts import Changes
from app.ui.room import Room
from app.ui.texts import retold, said
from app.ui.visits import is_at_the_machine
from blipdiff.control.net_names import BUNDLED_CONTROLS
from blipdiff.errors import BlipdiffError
from pipelines.added import EMBEDDING, LORA, added_from
from pipelines.job import Job

TITLE = "Your files"
_KEPT = "blipdiff-files"  # where a browser keeps what it has chosen
_ORDER = (LORA, EMBEDDING, VAE, CHECKPOINT, CONTROL)
_LOW, _HIGH, _STEP = -1, 2, 0.05  # of a weight's slider
PRESSED = """const told = (target, act) => {
  const row = target.closest("li[data-name]");
  const weight = row.querySelector("input[type=range]");
  trigger("click", { act, kind: row.dataset.kind, name: row.dataset.name,
    on: row.querySelector("input[type=checkbox]")?.checked ?? false, weight: weight ? +weight.value : null });
};
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-act]");
  if (button) told(button, button.dataset.act);
});
element.addEventListener("input", (event) => {
  if (event.target.type !== "range") return;
  const row = event.target.closest("li");
  row.querySelector("output").textContent = (+event.target.value).toFixed(2);
  row.querySelector("input[type=checkbox]").checked = true;
});
element.addEventListener("change", (event) => told(event.target, "use"));"""


class OwnFilesPart:
    """One place above the tabs, built in the current Blocks."""

    def __init__(self, room: Room) -> None:
        self._room = room
        room.added = gr.BrowserState([], storage_key=_KEPT, secret=_KEPT)
        with gr.Accordion(TITLE, open=False, elem_id="own-files") as self._place:
            self._list = gr.HTML("", elem_id="own-files-list", js_on_load=PRESSED)
            self._brought = gr.File(
                label="Add a LoRA, an embedding, a VAE or a ControlNet for Stable Diffusion 1.5", height=110,
                file_count="multiple", elem_id="own-files-brought",
            )  # fmt: skip
            self._status = gr.HTML(elem_id="own-files-status", elem_classes="status")
        room.own_files = self
        room.later(self._connect)

    @property
    def outputs(self) -> list[Any]:
        """What `recalled` changes."""
        return [self._room.added, self._list, self._place]

    def recalled(self, job: Job) -> Changes:
        """What a job is drawn with, chosen as it was."""
        chosen = [one.as_mapping() for one in job.added if one.kind == LORA]
        return {self._room.added: chosen, **self._shown(chosen)}

    def _connect(self) -> None:
        room = self._room
        controls = room.control_choices
        room.page.load(guarded(self._opened), room.added, [self._list, self._place, *controls], **AT_ONCE)
        on_change(self._place.expand, self._opened, room.added, [self._list, self._place, *controls])
        acted = [room.added, room.model_choice, self._list, self._place, self._status, *controls]
        pressed = guarded(self._acted)
        self._list.click(pressed, [room.added, room.model_choice], acted, trigger_mode="multiple", **AT_ONCE)
        given = [self._brought, room.added]
        shown = [self._brought, self._list, self._place, self._status, *controls]
        on_change(self._brought.upload, self._bring, given, shown)

    def _opened(self, chosen: Any) -> Changes:
        return {**self._shown(_checked(chosen)), **self._controls()}

    def _acted(self, visit: gr.Request, chosen: Any, model: str, event: gr.EventData) -> Changes:
        """A press in the list."""
        given = event._data if isinstance(event._data, dict) else {}
        act, kind, name = (str(given.get(one)) for one in ("act", "kind", "name"))
        try:
            if act == "use":
                return self._used(_checked(chosen), name, given)
            if act == "model":
                return self._model(model, name)
            if act == "remove":
                return self._removed(visit, _checked(chosen), kind, name)
        except BlipdiffError as error:
            notice(without_folder(str(error)))
        return gr.skip()  # type: ignore[no-any-return]

    def _used(self, chosen: list[dict[str, Any]], name: str, given: dict[str, Any]) -> Changes:
        """A LoRA for the next pictures, with its weight, or no longer."""
        rest = [one for one in chosen if one["name"] != name]
        if given.get("on"):
            rest += [added_from([{"name": name, "weight": given.get("weight")}])[0].as_mapping()]
        return {self._room.added: rest, self._place: gr.Accordion(label=_titled(rest))}

    def _model(self, model: str, name: str) -> Changes:
        """The chosen model with another VAE, or on another base, as a model of its own, which is chosen."""
        workshop = self._room.workshop
        whole = f"{(model or workshop.models.names[0]).partition(AND)[0]}{AND}{name}"
        workshop.files.add_model(whole)
        workshop.offer(whole)
        names = [(_short(one), one) for one in workshop.models.names]
        told = said("{model} is a model of its own now, and chosen above.", model=_short(whole))
        return {
            self._room.model_choice: gr.Dropdown(choices=names, value=whole),
            self._status: markup.message(told, "good"),
        }

    def _removed(self, visit: gr.Request, chosen: list[dict[str, Any]], kind: str, name: str) -> Changes:
        if not is_at_the_machine(visit):
            return {self._status: markup.message(said("Files are removed at the machine itself."), "bad")}
        files = self._room.workshop.files
        one = files.named(kind, name)
        files.remove(one.name)
        rest = [mine for mine in chosen if (mine["kind"], mine["name"]) != (one.kind, one.called)]
        told = markup.message(said("{name} is removed.", name=one.name), "good")
        return {self._room.added: rest, **self._shown(rest), **self._controls(), self._status: told}

    def _bring(self, paths: Sequence[str] | None, chosen: Any) -> Changes:
        """Files that were brought: each is kept, or what is wrong with it is said."""
        kept, complaints = list[OwnFile](), list[str]()
        for path in paths or ():
            try:
                kept.append(self._room.workshop.files.keep(Path(path)))
            except BlipdiffError as error:
                complaints.append(without_folder(str(error)))
        texts = [
            said("{name} is here, a file of the kind {kind}.", name=one.name, kind=retold(one.kind)) for one in kept
        ]
        told = markup.message(" ".join([*texts, *complaints]), "bad" if complaints else "good")
        changes = {**self._shown(_checked(chosen)), **self._controls()}
        return {self._brought: None, **changes, self._status: told}

    def _shown(self, chosen: list[dict[str, Any]]) -> Changes:
        files = self._room.workshop.files
        rows = [_row(one, chosen) for one in sorted(files.all(), key=lambda one: _ORDER.index(one.kind))]
        where = ", ".join(str(folder) for folder in files.folders)
        hint = said(
            "Up to 100 MB come in here; larger files lie in a folder of yours: {folders}. "
            "An embedding is used where the prompt has its word.",
            folders=where,
        )
        listed = f"<ul>{''.join(rows)}</ul>" if rows else ""
        text = f'<section class="own-files">{listed}<p class="about">{escaped(hint)}</p></section>'
        return {self._list: text, self._place: gr.Accordion(label=_titled(chosen))}

    def _controls(self) -> Changes:
        """The lists of nets, with the ControlNets that are here."""
        own = [one.called for one in self._room.workshop.files.all() if one.kind == CONTROL]
        return {field: gr.Dropdown(choices=[*BUNDLED_CONTROLS, *own]) for field in self._room.control_choices}


def with_added(job: Job, chosen: Any) -> Job:
    """The job with what the browser has chosen, where it has nothing of its own."""
    return job if job.added or not chosen else replace(job, added=added_from(_checked(chosen)))


def _checked(chosen: Any) -> list[dict[str, Any]]:
    """What a browser kept, as far as it can be read."""
    try:
        return [one.as_mapping() for one in added_from(chosen or [])]
    except BlipdiffError:
        return []


def _titled(chosen: Sequence[dict[str, Any]]) -> str:
    """What the place is called, with what is chosen: it is closed most of the time."""
    told = ", ".join(f"{one['name']} {one['weight']:g}" for one in chosen if "weight" in one)
    return said("Your files: {chosen}", chosen=told) if told else said("Your files")


def _row(one: OwnFile, chosen: Sequence[dict[str, Any]]) -> str:
    """A file with what can be done with it."""
    size = said("{size} MB", size=f"{one.size / 1e6:,.1f}")
    about = [
        retold(one.kind),
        size,
        *([said("words: {words}", words=", ".join(one.words))] if one.words and one.kind == LORA else []),
    ]
    name = f'<span class="what">{escaped(one.called)}</span>'
    told = f'<span class="where">{escaped(", ".join(about))}</span>'
    data = f'data-kind="{escaped(one.kind)}" data-name="{escaped(one.called)}"'
    return f"<li {data}>{_use(one, name, chosen)}{told}{_acts(one)}</li>"


def _use(one: OwnFile, name: str, chosen: Sequence[dict[str, Any]]) -> str:
    if one.kind != LORA:
        return name
    mine = next((had for had in chosen if had["name"] == one.called), None)
    weight = 1.0 if mine is None else float(mine["weight"])
    label = escaped(said("Weight of {name}", name=one.called))
    low, high = min(_LOW, weight), max(_HIGH, weight)
    slider = f'<input type="range" min="{low:g}" max="{high:g}" step="{_STEP}" value="{weight:g}" aria-label="{label}">'
    tick = f'<input type="checkbox"{"" if mine is None else " checked"}>'
    return f"<label>{tick} {name}</label><span>{slider} <output>{weight:.2f}</output></span>"


def _acts(one: OwnFile) -> str:
    acts = []
    if one.kind in (VAE, CHECKPOINT):
        label = said("Use with the model") if one.kind == VAE else said("Put under the model")
        acts.append(_button("model", one, label))
    if one.kind == CONTROL:
        acts.append(f'<span class="where">{escaped(said("Choose it as Control in Restyle."))}</span>')
    if one.kind == EMBEDDING:
        acts.append(f'<span class="where">{escaped(said("Write {word} in a prompt.", word=one.called))}</span>')
    if one.is_uploaded:
        acts.append(_button("remove", one, said("Remove")))
    return f'<span class="acts">{"".join(acts)}</span>'


def _button(act: str, one: OwnFile, label: str) -> str:
    about = escaped(f"{label}: {one.called}")
    return f'<button type="button" data-act="{act}" aria-label="{about}">{escaped(label)}</button>'


def _short(name: str) -> str:
    model, sign, file = name.partition(AND)
    return (Path(model).name if Path(model).is_absolute() else model) + sign + file
