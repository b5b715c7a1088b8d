"""A file that was dropped anywhere on the page: a picture made here is recalled, a project opened, a photo offered."""

from pathlib import Path

import gradio as gr

from app.jobs.projects import SUFFIX, bring_in, opened_project
from app.jobs.tickets import LOCAL
from app.ui import markup
from app.ui.bench import job_with_seed
from app.ui.files import without_folder
from app.ui.history.acts import given_by
from app.ui.history.grid import button, pictures_told
from app.ui.history.sending import goal_of, goals
from app.ui.history.viewer import goals_told
from app.ui.notices import news, notice
from app.ui.parts import Changes
from app.ui.room import Room
from app.ui.texts import retold, said
from blipdiff.errors import BlipdiffError, ConfigError, ImageError
from blipdiff.images import open_picture
from pipelines.inputs import CARD_SUFFIX


class Dropped:
    """The handlers. field: takes the file; panel: what is offered for it; kept: the offered file's path."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.field = gr.File(
            label="A picture or a project",
            file_types=["image", SUFFIX, CARD_SUFFIX],
            elem_id="dropped-file",
            elem_classes="unseen",
        )
        self.panel = gr.HTML("", elem_id="dropped", js_on_load="blipdiff.offered(element, trigger)", padding=False)
        self.kept = gr.State("")

    @property
    def outputs(self) -> list[object]:
        """What both handlers change."""
        return list(dict.fromkeys([*self._room.changed, self.field, self.panel, self.kept]))

    def come(self, path: str | None) -> Changes:
        """What becomes of a file that was dropped, or chosen."""
        if path is None:
            return {}
        changes: Changes = {self.field: None, self.panel: "", self.kept: ""}
        try:
            if Path(path).suffix.lower() == SUFFIX:
                news(self.open_project(Path(path)))
                return changes
            return changes | self._picture(path)
        except BlipdiffError as error:
            notice(retold(without_folder(str(error))))
            return changes

    def open_project(self, path: Path) -> str:
        """Brings a project in; gives what came, in a sentence. Raises: ConfigError for a file that is none."""
        workshop = self._room.workshop
        with opened_project(path) as project:
            pictures, cards = bring_in(project, workshop.history, self._room.library, LOCAL)
            whole, name = len([one for one in project.pictures if "." not in one.removesuffix(".png")]), project.name
        there = whole - pictures
        return said(
            "{name}: {pictures} new, {there} here already; subjects: {cards} new.",
            name=name, pictures=pictures_told(pictures), there=there, cards=cards,
        )  # fmt: skip

    def send(self, event: gr.EventData, path: str) -> Changes:
        """The offered file goes where the click says."""
        given, changes = given_by(event), Changes({self.panel: "", self.kept: ""})
        goal = goal_of(self._room, given.get("kind"), given.get("to"))
        if given.get("act") != "send" or goal is None or not path:
            return changes
        try:
            if not Path(path).is_file():
                raise ConfigError(said("The file is there no longer; drop it again."))
            return changes | self._room.send_changes(goal.kind, path, goal.tab)
        except BlipdiffError as error:
            notice(retold(without_folder(str(error))))
            return changes

    def _picture(self, path: str) -> Changes:
        """The tab as the picture was asked for; what was made elsewhere is offered to the tabs.

        Raises: ImageError for what is no picture.
        """
        name = Path(path).name
        try:
            return self._room.recall_changes(job_with_seed(path))
        except ConfigError as error:
            reason = retold(without_folder(str(error)))
        offered = goals(self._room)
        if Path(path).suffix.lower() == CARD_SUFFIX:
            offered, reason = (
                [one for one in offered if one.kind == "subject"],
                said("{name} is a subject card.", name=name),
            )
        elif open_picture(path).size == (0, 0):
            raise ImageError(said("{name} is no picture.", name=name))
        head = f"<h2>{markup.escaped(name)}</h2>{button('close', '✕', about=said('Close'))}"
        told = markup.message(said("{reason} {question}", reason=reason, question=said("Where shall it be used?")))
        panel = (
            f'<section class="offered" role="dialog" aria-label="{markup.escaped(name)}" tabindex="-1">'
            f'<div class="bar">{head}</div>{told}{goals_told(offered)}</section>'
        )
        return {self.panel: panel, self.kept: path}
