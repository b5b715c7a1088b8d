"""The queue's tables, and its rows as tickets."""

import json
from typing import Any

from app.jobs.tickets import Ticket
from pipelines.job import Job
from pipelines.requests import likely_steps

TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, client TEXT NOT NULL, source TEXT NOT NULL, name TEXT NOT NULL,
    task TEXT NOT NULL, model TEXT NOT NULL, state TEXT NOT NULL, priority INTEGER NOT NULL, position REAL NOT NULL,
    count INTEGER NOT NULL, cost REAL NOT NULL, job TEXT NOT NULL, created REAL NOT NULL, started REAL, ended REAL,
    attempts INTEGER NOT NULL DEFAULT 0, is_stopping INTEGER NOT NULL DEFAULT 0, error TEXT,
    notices TEXT NOT NULL DEFAULT '[]', webhook TEXT, step INTEGER NOT NULL DEFAULT 0,
    steps INTEGER NOT NULL DEFAULT 0, previews INTEGER NOT NULL DEFAULT 1);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, priority, position);
CREATE INDEX IF NOT EXISTS jobs_by_owner ON jobs (owner, id);
CREATE TABLE IF NOT EXISTS contents (hash TEXT PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS holds (job TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (job, hash));
CREATE INDEX IF NOT EXISTS holds_by_hash ON holds (hash);
CREATE TABLE IF NOT EXISTS groups (job TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS groups_by_name ON groups (name);
CREATE TABLE IF NOT EXISTS keys (
    owner TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL, job TEXT NOT NULL, PRIMARY KEY (owner, key));
CREATE TABLE IF NOT EXISTS served (client TEXT PRIMARY KEY, turn INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS pace (task TEXT NOT NULL, model TEXT NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (task, model));
"""
# Who is next: of the highest priority, the client who has the fewest jobs on a device and whose turn is longest ago.
NEXT = """
SELECT one.id, one.owner || '/' || one.client AS whose FROM jobs AS one
LEFT JOIN (SELECT owner, client, count(*) AS count FROM jobs WHERE state = 'drawing' GROUP BY owner, client) AS busy
    ON busy.owner = one.owner AND busy.client = one.client
LEFT JOIN served ON served.client = one.owner || '/' || one.client
WHERE one.state = 'waiting'
ORDER BY one.priority DESC, coalesce(busy.count, 0), coalesce(served.turn, 0), one.position LIMIT 1
"""


def ticket_of(row: Any) -> Ticket:
    """The ticket that a row of `jobs` is."""
    fields = ("id", "owner", "client", "source", "name", "task", "model", "state", "priority", "count", "created",
              "started", "ended", "attempts", "error", "webhook", "step", "steps", "previews")  # fmt: skip
    return Ticket(
        **{name: row[name] for name in fields},
        is_stopping=bool(row["is_stopping"]),
        notices=tuple(json.loads(row["notices"])),
    )


def count_of(job: Job) -> int:
    """How many pictures a job asks for, as far as its request says."""
    if job.index is not None:
        return 1
    count = int(getattr(job.request, "count", 1))
    return count * max(1, len(job.given("source"))) * _frames(job.request)


def cost_of(job: Job) -> float:
    """Steps times pictures."""
    return float(likely_steps(job.request)) * count_of(job)


def _frames(request: Any) -> int:
    if getattr(request, "shape", None) == "path":
        return int(request.frames)
    if getattr(request, "shape", None) == "map":
        return int(request.side) ** 2
    return 1
