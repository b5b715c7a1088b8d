"""Jobs that were asked for together: one job with a list of prompts."""

from collections.abc import Sequence
from dataclasses import replace

from app.jobs.database import Data
from blipdiff.errors import ConfigError
from pipelines.job import Job
from pipelines.parameters import parameters
from pipelines.task import task_named

MOST_PROMPTS = 1000


class Groups:
    """Which jobs belong together, each as long as the queue keeps it."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def keep(self, group: str, jobs: Sequence[str]) -> None:
        """These jobs belong together."""
        for job in jobs:
            self._data.change("INSERT INTO groups (job, name) VALUES (?, ?) ON CONFLICT DO NOTHING", (job, group))

    def jobs(self, group: str) -> list[str]:
        """The names of a group's jobs, as they were asked for."""
        return [
            str(row["job"]) for row in self._data.rows("SELECT job FROM groups WHERE name = ? ORDER BY rowid", (group,))
        ]

    def of(self, job: str) -> str | None:
        """The group of a job, if it has one."""
        row = self._data.row("SELECT name FROM groups WHERE job = ?", (job,))
        return None if row is None else str(row["name"])

    def let_go(self, job: str) -> None:
        """The queue keeps this job no longer."""
        self._data.change("DELETE FROM groups WHERE job = ?", (job,))


def with_prompts(job: Job, prompts: Sequence[str]) -> list[Job]:
    """The job once for each prompt that is no empty line.

    Raises: ConfigError for no prompt, for too many, and for a task that takes none; PromptError for what is no text.
    """
    if "prompt" not in parameters(task_named(job.task).request):
        raise ConfigError(f"{job.task} takes no prompt, so a list of them cannot be drawn.")
    lines = [line.strip() if isinstance(line, str) else line for line in prompts]
    lines = [line for line in lines if line != ""]
    if not 1 <= len(lines) <= MOST_PROMPTS:
        raise ConfigError(f"{len(lines)} prompts were given; give 1 to {MOST_PROMPTS}, each in a line of its own.")
    return [
        replace(job, request=replace(job.request, prompt=line), index=None, detail={}, model=None) for line in lines
    ]
