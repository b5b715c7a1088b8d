"""The tab that shows attention: a picture, and where each word and the subject were seen in it."""

import re

from app.ui.files import served
from app.ui.parts import Seen
from app.ui.room import Room
from app.ui.runs import picture_alone
from app.ui.tabs.any_task import task_tab
from app.ui.texts import said
from app.ui.views import Drawn
from pipelines.task import Task

_MAP = re.compile(r"map-(\d+)-(.*)", re.DOTALL)  # what stands beside a picture


def attend_tab(room: Room, task: Task) -> None:
    """Builds the tab in the current Blocks."""
    own = {"count": 1, "each": True}
    task_tab(room, task, own, button="Show", hint="Add a subject and a prompt.", columns=4, tiles=_with_maps)


def _with_maps(one: Drawn) -> list[Seen]:
    """The picture, then where the subject and each word were seen."""
    [picture] = picture_alone(one)
    maps = sorted(
        (int(found[1]), found[2], path) for part, path in one.beside.items() if (found := _MAP.fullmatch(part))
    )
    seen = [picture._replace(path=served(path), caption=word) for _, word, path in maps]
    return [picture._replace(caption=said("the picture, {caption}", caption=picture.caption)), *seen]
