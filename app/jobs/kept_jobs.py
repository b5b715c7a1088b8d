"""Jobs that came with a project's pictures: this machine's queue never had them."""

from pathlib import Path

from app.jobs.history import History
from blipdiff.errors import BlipdiffError
from blipdiff.outputs import written_file
from pipelines.job import Job

FOLDER = "jobs"


def keep(history: History, name: str, job: Job) -> None:
    """Writes a job beside the pictures; one that is there already stays.

    Raises: OutputError when it cannot be written.
    """
    path = _place(history.folder, name)
    if not path.exists():
        with written_file(path) as part:
            part.write_text(job.to_json(), encoding="utf-8")
        history.send(path)


def find(history: History, name: str) -> Job | None:
    """The job of this name; None where there is none, or it is damaged."""
    path = _place(history.folder, name)
    try:
        return Job.from_json(path.read_text(encoding="utf-8")) if history.fetch(path) else None
    except (OSError, UnicodeError, BlipdiffError):
        return None


def _place(folder: Path, name: str) -> Path:
    return folder / FOLDER / f"{name}.json"
