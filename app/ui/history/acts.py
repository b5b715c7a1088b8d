"""What is done with the history on its tab: every click comes here with what its browser looks at and has chosen."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from app.jobs.entries import Entry
from app.jobs.export import check_size, zipped
from app.jobs.history import History
from app.jobs.projects import SUFFIX, save_project
from app.jobs.recall import asked_job
from app.jobs.search import Search
from app.jobs.tickets import LOCAL
from app.ui.files import served, without_folder
from app.ui.history.grid import button, pictures_told, shown
from app.ui.history.look import Look, entries_of, entry_of
from app.ui.history.sending import goals
from app.ui.history.viewer import Viewed, viewed
from app.ui.markup import escaped, message
from app.ui.room import Room, title_of
from app.ui.texts import retold, said
from blipdiff.errors import BlipdiffError, ConfigError

_MOST_FOUND = 20_000  # pictures of one file


class Acts:
    """The handlers of the tab; each gives the view anew, and the picture that is looked at where that changes."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._does: dict[str, Callable[[Look, Mapping[str, Any]], str]] = {
            "look": lambda _look, _given: "",
            "favourite": self._mark,
            "delete": self._delete,
            "restore": self._restore,
            "ask": self._ask_to_empty,
            "empty": self._empty,
            "zip": self._zip,
            "project": self._project,
        }

    @property
    def history(self) -> History:
        """The workshop's."""
        return self._room.workshop.history

    @property
    def titles(self) -> dict[str, str]:
        """What tasks are called here."""
        names = [*self.history.names("task", Search(owner=LOCAL)), *self._room.tabs]
        return {name: retold(title_of(name)) for name in names}

    def act(self, event: gr.EventData) -> tuple[Any, Any]:
        """A click on the view, or on a picture's own buttons: the view, and the picture."""
        given = given_by(event)
        look, viewing = Look.of(given.get("look")), given.get("viewing")
        if given.get("act") == "open":
            return gr.skip(), self.picture(look, given.get("id"))
        does = self._does.get(str(given.get("act")))
        try:
            told = does(look, given) if does is not None else ""
        except BlipdiffError as error:
            told = message(retold(without_folder(str(error))), "bad")
        view = shown(self.history, look, self.titles, told)
        return view, self.picture(look, viewing, told) if viewing else gr.skip()

    def picture(self, look: Look, name: Any, told: str = "") -> str:
        """One picture with its job; nothing for one that is not there."""
        entry = entry_of(self.history, name)
        if entry is None:
            return ""
        try:
            job = self.history.job(entry)
        except BlipdiffError:
            job = None
        asked = look.search()
        newer = self.history.search(asked, most=1, after=entry.id)
        older = self.history.search(asked, most=1, before=entry.id)
        ends = [one[0].id if one else "" for one in (newer, older)]
        one = Viewed(entry, job, ends[0], ends[1], tuple(self.history.beside(entry)))
        return viewed(one, goals(self._room), self.titles, told)

    def compared(self, event: gr.EventData) -> Any:
        """Two pictures one over the other; or a picture over what it was before."""
        given = given_by(event)
        chosen = entries_of(self.history, given.get("ids"))
        try:
            if given.get("act") == "before" and chosen:
                return served(self.history.file(chosen[0], "before")), served(self.history.file(chosen[0]))
            if len(chosen) == 2:
                return served(self.history.file(chosen[0])), served(self.history.file(chosen[1]))
        except BlipdiffError:
            return None
        return None

    def _mark(self, _look: Look, given: Mapping[str, Any]) -> str:
        chosen = self._chosen(given)
        is_on = not all(entry.is_favourite for entry in chosen)
        for entry in chosen:
            self.history.mark(entry.id, favourite=is_on)
        told = said("{pictures} marked as favourite.", pictures=_count(chosen))
        return message(told if is_on else said("{pictures} no longer favourite.", pictures=_count(chosen)), "good")

    def _delete(self, _look: Look, given: Mapping[str, Any]) -> str:
        chosen = self._chosen(given)
        self.history.throw_away([entry.id for entry in chosen])
        undo = button("undo", said("Undo"), ids=" ".join(entry.id for entry in chosen))
        return message(said("{pictures} put into the bin.", pictures=_count(chosen)), "good") + undo

    def _restore(self, _look: Look, given: Mapping[str, Any]) -> str:
        chosen = self._chosen(given)
        self.history.restore([entry.id for entry in chosen])
        return message(said("{pictures} taken out of the bin.", pictures=_count(chosen)), "good")

    def _ask_to_empty(self, _look: Look, _given: Mapping[str, Any]) -> str:
        binned = self.history.count(Search(owner=LOCAL, binned=True))
        if not binned:
            return message(said("The bin is empty."))
        sure = button("empty-now", said("Remove them for good"), looks="stop") + button("look", said("Keep them"))
        question = "Remove {pictures} from the disk? They cannot be brought back."
        return message(said(question, pictures=pictures_told(binned)), "bad") + sure

    def _empty(self, _look: Look, _given: Mapping[str, Any]) -> str:
        return message(said("{pictures} removed.", pictures=pictures_told(self.history.empty_bin(LOCAL))), "good")

    def _zip(self, look: Look, given: Mapping[str, Any]) -> str:
        chosen = self._chosen_or_found(look, given)
        return _download(chosen, ".zip", lambda path: zipped(path, self.history, chosen))

    def _project(self, look: Look, given: Mapping[str, Any]) -> str:
        chosen = self._chosen_or_found(look, given)
        check_size(chosen)
        library = self._room.library
        found = {
            entry.job: asked_job(self._room.workshop, entry) for entry in {one.job: one for one in chosen}.values()
        }
        asked = {name: job for name, job in found.items() if job is not None}
        subjects = {word for entry in chosen for word in entry.subject.split(" + ")}
        cards = [one.name for one in library.entries() if one.category in subjects]
        return _download(
            chosen,
            SUFFIX,
            lambda path: save_project(path, self.history, chosen, library=library, cards=cards, asked=asked),
        )

    def _chosen(self, given: Mapping[str, Any]) -> list[Entry]:
        """Raises: ConfigError where nothing is chosen that is there."""
        found = entries_of(self.history, given.get("ids"))
        if not found:
            raise ConfigError(said("No picture is chosen, or it is there no longer."))
        return found

    def _chosen_or_found(self, look: Look, given: Mapping[str, Any]) -> list[Entry]:
        if given.get("ids"):
            return self._chosen(given)
        found = self.history.search(look.search(), most=_MOST_FOUND)
        if not found:
            raise ConfigError(said("There is no picture here yet."))
        return found


def given_by(event: gr.EventData) -> Mapping[str, Any]:
    """What a browser tells with a click, whatever that is."""
    given = event._data
    return given if isinstance(given, dict) else {}


def _download(chosen: Sequence[Entry], suffix: str, write: Callable[[Path], Path]) -> str:
    """Makes a file that the browser fetches by itself, and says so."""
    stem = f"blipdiff-{datetime.now():%Y-%m-%d-%H%M%S}"
    with TemporaryDirectory(prefix="blipdiff-") as folder:
        path = write(Path(folder) / f"{stem}{suffix}")
        size = path.stat().st_size
        url = f"gradio_api/file={served(path)}"
    values = {"pictures": _count(chosen), "file": path.name, "size": f"{size / 1e6:.1f}"}
    told, load = message(said("{pictures} in {file}, {size} MB.", **values), "good"), escaped(said("Download it"))
    return f'{told}<a class="load now" href="{escaped(url)}" download="{escaped(path.name)}">{load}</a>'


def _count(entries: Sequence[Entry]) -> str:
    return pictures_told(len(entries))
