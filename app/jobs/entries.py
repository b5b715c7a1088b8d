"""What the history's index holds of a picture: read from its PNG alone, so that the index can be made again."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.jobs.pictures import Place
from blipdiff.errors import BlipdiffError, ConfigError
from pipelines.metadata import job_of, read_metadata
from pipelines.parameters import parameters
from pipelines.task import task_named

TABLES = """
CREATE TABLE IF NOT EXISTS results (
    id TEXT PRIMARY KEY, job TEXT NOT NULL, number INTEGER NOT NULL, owner TEXT NOT NULL, day TEXT NOT NULL,
    path TEXT NOT NULL, bytes INTEGER NOT NULL, made INTEGER NOT NULL, task TEXT NOT NULL, model TEXT NOT NULL,
    identity TEXT NOT NULL, subject TEXT NOT NULL, subject_key TEXT NOT NULL, prompt TEXT NOT NULL,
    words TEXT NOT NULL, seed INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    is_favourite INTEGER NOT NULL DEFAULT 0, is_binned INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS results_by_day ON results (owner, is_binned, day);
CREATE INDEX IF NOT EXISTS results_by_job ON results (job);
"""
COLUMNS = ("id", "job", "number", "owner", "day", "path", "bytes", "made", "task", "model", "identity", "subject",
           "subject_key", "prompt", "words", "seed", "width", "height", "is_binned")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture of the history.

    made: nanoseconds since 1970; subject_key: tells subjects of one word apart
    """

    id: str
    job: str
    number: int
    owner: str
    day: str
    path: str  # below the history's folder
    bytes: int
    made: int
    task: str
    model: str
    identity: str
    subject: str
    subject_key: str
    prompt: str
    words: str
    seed: int
    width: int
    height: int
    is_binned: bool
    is_favourite: bool = False


def entry_at(place: Place, root: str) -> Entry | None:
    """What a picture tells of itself; None for one that no job of ours made."""
    try:
        found = read_metadata(place.path)
        about = place.path.stat()
        told = found["job"] if found["version"] > 1 else job_of(found).as_mapping()
        subject, key = subject_of(told)
        request = told["request"]
        width, height = (int(side) for side in found["size"])
        return Entry(
            place.id, place.job, place.number, place.owner, place.day, root, about.st_size, about.st_mtime_ns,
            str(told["task"]), str(found["model"].get("name")), str(found["model"].get("identity") or ""), subject,
            key, str(request.get("prompt") or ""), _words(told, subject), int(found["seed"]), width, height,
            place.is_binned,
        )  # fmt: skip
    except (BlipdiffError, OSError, KeyError, TypeError, ValueError, AttributeError):
        return None


def subject_of(told: Mapping[str, Any]) -> tuple[str, str]:
    """The words of a job's subjects, and what tells them from others of the same words."""
    given = told.get("inputs", {}).get("subject", ())
    words = [str(one.get("word") or one.get("category") or "") for one in given]
    content = hashlib.sha256()
    for one in given:
        content.update(str(one.get("rows") or one.get("picture") or one.get("file") or "").encode())
    name = " + ".join(dict.fromkeys(word for word in words if word))
    return name, f"{name}-{content.hexdigest()[:12]}" if given else ""


def _words(told: Mapping[str, Any], subject: str) -> str:
    """All that was said in words, in the request and of its subjects, for a search."""
    chosen = {name for name, one in parameters(task_named(told["task"]).request).items() if one.choices}
    request = told["request"]
    said = [subject, *(value for name, value in request.items() if isinstance(value, str) and name not in chosen)]
    return "\n".join(dict.fromkeys(text.casefold() for text in said if text.strip()))


def check_result_name(name: str) -> str:
    """The name itself. Raises: ConfigError for what is no result's."""
    job, sign, number = name.partition("-")
    if not sign or not number.isascii() or not number.isdigit() or not job.isalnum() or len(name) > 40:
        raise ConfigError(f"There is no result {name!r:.60}.")
    return name
