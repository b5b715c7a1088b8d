"""The tab that generates: one subject, words, pictures; and the subject as a card."""

from typing import Any

import gradio as gr

from app.ui import markup
from app.ui.bench import Bench
from app.ui.events import ON_MODEL, on_click
from app.ui.examples import SCENE, connect_inputs_example, place_example
from app.ui.files import kept_card, served, without_folder
from app.ui.notices import notice
from app.ui.parts import Changes
from app.ui.room import Room
from app.ui.subject_picker.cards import card_of
from app.ui.subject_picker.picker import SubjectPicker, place_detail
from app.ui.texts import retold, said
from blipdiff.errors import BlipdiffError
from pipelines.generate.request import GenerateRequest
from pipelines.job import Job
from pipelines.parameters import parameters
from pipelines.task import Task

_AUTHORS = {"scheduler": "pndm", "steps": 50, "fit": "crop", "repeats": 20}
_STEPS = ("Add a photo of the subject.", "Say what it is, in a word or two.", "Describe the scene, and press Generate.")


def generate_tab(room: Room, task: Task) -> None:
    """Builds the tab in the current Blocks."""
    bench = Bench(room, task, random_seed=True)
    form = bench.form
    with bench.workbench():
        with bench.asking():
            subject = SubjectPicker(room, bench.id, task.inputs["subject"], examples=room.examples)
            form.place("category", max_lines=1, placeholder="teapot")
            form.place("prompt", lines=2, placeholder="on a snowy mountain")
            place_detail(form)
            with gr.Accordion("Negative prompt and target", open=False):
                form.place("negative", "target")
            form.place("count")
            bench.place_settings(differences())
            with gr.Accordion("Keep the subject as a card", open=False, elem_id="cards"):
                gr.Markdown("A small file that stands in for the photos from then on.", elem_classes="hint")
                save_card = gr.Button("Save subject card", size="sm", elem_id="save-card")
                card = gr.DownloadButton("Download", size="sm", visible=False, elem_id="card")
            [draw] = bench.place_actions("Ready. Ctrl+Enter generates.", generate="Generate")
        with bench.seeing():
            bench.place_stage(markup.welcome(*_STEPS))
            example = place_example(bench.id("try"))
            bench.place_results(markup.welcome(*_STEPS))
    subject.connect(form.controls["category"])

    def asked(*values: Any) -> Job:
        *given, typed = values
        photos = subject.subjects(*given)  # which the form begins with, so that they are asked for first
        return Job.of(form.request(typed), subject=photos)

    def keep_card(model: str, category: str, fit: str, *given: Any) -> Changes:
        """Encodes the subject and keeps it as a file, with its cut-out."""
        try:
            made, notes = card_of(room.studio(model), subject.subjects(*given), category, fit=fit)
            path = kept_card(made, room.settings.output)
        except BlipdiffError as error:
            notice(without_folder(str(error)))
            return gr.skip()  # type: ignore[no-any-return]
        link = gr.DownloadButton(said("Download {name}", name=path.name), value=served(path), visible=True)
        told = " ".join((said("Saved as {name}.", name=path), *map(retold, notes)))
        return {card: link, bench.on.status: markup.message(told, "good")}

    on_click(
        save_card, keep_card, [room.model_choice, form.controls["category"], form.controls["fit"], *subject.inputs],
        [card, bench.on.status], ON_MODEL,
    )  # fmt: skip
    connect_inputs_example(example, room, form, [subject.example], SCENE, draw)
    bench.connect(draw, asked, subject.inputs)
    bench.connect_rest(lambda job: subject.recalled(job.given("subject")), subject.outputs, subject.takes)


def differences() -> str:
    """One line: which starting values differ from those of the method's authors."""
    request, declared = GenerateRequest(category="dog"), parameters(GenerateRequest)
    found = [
        said(
            "{name} {value} (theirs: {theirs})", name=declared[name].label, value=getattr(request, name), theirs=theirs
        )
        for name, theirs in _AUTHORS.items()
        if getattr(request, name) != theirs
    ]
    return said("These starting values differ from the authors' code: {values}.", values=", ".join(found))
