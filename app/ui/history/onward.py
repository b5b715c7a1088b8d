"""From a picture of the history onward: recalled, sent to a tab, varied, drawn with another seed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gradio as gr

from app.jobs.entries import Entry
from app.jobs.recall import as_asked, recalled
from app.ui.bench import with_seed
from app.ui.files import without_folder
from app.ui.history.acts import Acts, given_by
from app.ui.history.look import Look, entry_of
from app.ui.history.sending import goal_of
from app.ui.history.viewer import VARIATIONS
from app.ui.markup import message
from app.ui.models import SETTINGS_TAB
from app.ui.notices import notice
from app.ui.parts import Changes
from app.ui.room import RECALLED, Room, title_of
from app.ui.texts import retold, said
from app.ui.visits import sender_of
from blipdiff.errors import BlipdiffError, ConfigError
from pipelines.job import Job
from pipelines.parameters import parameters
from pipelines.requests import Sampling, random_seed
from pipelines.variations import is_counted, varied

_VARIATIONS = 4  # at a time, where they can be drawn together


class Onward:
    """The handlers."""

    def __init__(self, room: Room, acts: Acts) -> None:
        self._room, self._acts = room, acts

    def go(self, event: gr.EventData) -> Changes:
        """Another tab, with what the picture's job asked for, or with the picture itself."""
        given = given_by(event)
        if given.get("act") == "settings":
            return {self._room.switch: gr.Tabs(selected=SETTINGS_TAB)}
        try:
            entry = self._entry(given)
            if given.get("act") == "recall":
                return self.recall(entry, given.get("part"))
            goal = goal_of(self._room, given.get("kind"), given.get("to"))
            if goal is None:
                raise ConfigError(said("There is no such tab; reload the page."))
            path = self._room.workshop.history.file(entry)
            return self._room.send_changes(goal.kind, path, goal.tab)
        except BlipdiffError as error:
            notice(retold(without_folder(str(error))))
            return {}

    def recall(self, entry: Entry, part: object = "all") -> Changes:
        """The tab of the picture's task as it was asked for, or with a part of that.

        Raises: BlipdiffError for a picture whose job is damaged or has no tab.
        """
        job = with_seed(as_asked(self._room.workshop, entry), entry.seed)
        return self._room.recall_changes(job, next((one for one in RECALLED if one == part), RECALLED[0]))

    def draw(self, visit: gr.Request, event: gr.EventData, browser: str) -> str:
        """Pictures near this one, or with another seed, are put into the line; gives the picture with word of that."""
        given = given_by(event)
        look = Look.of(given.get("look"))
        try:
            entry = self._entry(given)
            job = recalled(self._room.workshop, entry)
            more = self.another(job) if given.get("act") == "again" else self.near(job, given)
            model = entry.model if entry.model in self._room.workshop.models.names else ""
            self._room.submit(more, sender_of(browser, visit), model)
            told = message(said("Asked for; it comes here when it is drawn."), "good")
        except BlipdiffError as error:
            told = message(retold(without_folder(str(error))), "bad")
        return self._acts.picture(look, given.get("id"), told)

    def near(self, job: Job, given: Mapping[str, Any]) -> Job:
        """The job of variations. Raises: ConfigError for pictures that come from no seed."""
        strength = VARIATIONS.get(str(given.get("how")), VARIATIONS["little"])
        return varied(job, strength, random_seed(), count=_VARIATIONS if is_counted(job) else 1)

    def another(self, job: Job) -> Job:
        """The job with a seed that nobody has chosen. Raises: ConfigError for pictures that come from no seed."""
        request = job.request
        if not isinstance(request, Sampling):
            raise ConfigError(said("What {task} makes comes from no seed.", task=retold(title_of(job.task))))
        changes: dict[str, Any] = {"seed": random_seed(), "variation": 0.0, "variation_of": ()}
        if "count" in parameters(type(request)):
            changes["count"] = 1
        return replace(job, request=replace(request, **changes), index=None, detail={}, model=None)

    def _entry(self, given: Mapping[str, Any]) -> Entry:
        found = entry_of(self._room.workshop.history, given.get("id"))
        if found is None:
            raise ConfigError(said("This picture is not in the history any more."))
        return found
