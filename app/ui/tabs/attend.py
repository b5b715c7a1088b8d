"""The tab that shows attention: a picture, and where each word and the subject were seen in it."""

from app.outputs import PICTURE
from app.ui.bench import Room
from app.ui.files import served
from app.ui.runs import Seen, picture_alone
from app.ui.tabs.any_task import task_tab
from app.ui.views import Finished
from pipelines.task import Task


def attend_tab(room: Room, task: Task) -> None:
    """Builds the tab in the current Blocks."""
    own = {"count": 1, "each": True}
    task_tab(room, task, own, button="Show", hint="Add a subject and a prompt.", columns=4, tiles=_with_maps)


def _with_maps(finished: Finished) -> list[Seen]:
    """The picture, then where the subject and each word were seen."""
    [picture] = picture_alone(finished)
    maps = [path for part, path in finished.paths.items() if part not in (PICTURE, "maps")]
    words = [one.word for one in finished.result.detail]
    seen = [Seen(served(path), word, picture.seed) for path, word in zip(maps, words, strict=False)]
    return [picture._replace(caption=f"the picture, {picture.caption}"), *seen]
