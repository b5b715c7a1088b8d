"""The tab that generates: one subject, words, pictures; and the subject as a card."""

from typing import Any

import gradio as gr

from app.ui import markup
from app.ui.bench import Bench
from app.ui.events import ON_MODEL, on_click
from app.ui.files import kept_card, served, without_folder
from app.ui.notices import notice
from app.ui.parts import Changes
from app.ui.room import Room
from app.ui.subject_field import SubjectField, given_subject
from blipdiff.errors import BlipdiffError
from pipelines.generate.request import GenerateRequest
from pipelines.inputs import Input
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
            subject = SubjectField(bench.id, "Subject", room.examples)
            form.place("category", max_lines=1, placeholder="teapot")
            form.place("prompt", lines=2, placeholder="on a snowy mountain")
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
            bench.place_results(markup.welcome(*_STEPS))
    subject.connect(form.controls["category"])

    def asked(paths: list[str] | None, typed: Any) -> Job:
        given = given_subject(paths)
        return Job.of(form.request(typed), subject=given)

    def keep_card(model: str, paths: list[str] | None, category: str, fit: str) -> Changes:
        """Encodes the subject and keeps it as a file."""
        try:
            opened = [Input(path, category).opened("subject") for path in given_subject(paths)]
            path = kept_card(room.studio(model).subject_of(opened, fit=fit), room.settings.output)
        except BlipdiffError as error:
            notice(without_folder(str(error)))
            return gr.skip()  # type: ignore[no-any-return]
        link = gr.DownloadButton(f"Download {path.name}", value=served(path), visible=True)
        return {card: link, bench.on.status: markup.message(f"Saved as {path}.", "good")}

    on_click(
        save_card, keep_card, [room.model_choice, subject.files, form.controls["category"], form.controls["fit"]],
        [card, bench.on.status], ON_MODEL,
    )  # fmt: skip
    bench.connect(draw, asked, [subject.files])
    bench.connect_rest(lambda job: subject.recalled(job.given("subject")), [subject.files], subject.takes)


def differences() -> str:
    """One line: which starting values differ from those of the method's authors."""
    request, declared = GenerateRequest(category="dog"), parameters(GenerateRequest)
    found = [
        f"{declared[name].label.lower()} {getattr(request, name)} (theirs: {theirs})"
        for name, theirs in _AUTHORS.items()
        if getattr(request, name) != theirs
    ]
    return f"These starting values differ from the authors' code: {', '.join(found)}."
