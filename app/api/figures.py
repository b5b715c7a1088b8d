"""Figures for Prometheus: what was drawn since the start is counted, the rest is looked at when it is asked for."""

import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from app.jobs.database import DatabaseAway
from app.jobs.events import JobEvent
from app.jobs.tickets import STATES, Ticket
from app.jobs.workshop import Workshop

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600, 1800, 3600)


class Figures:
    """One workshop's figures."""

    def __init__(self, workshop: Workshop) -> None:
        disable_created_metrics()
        self._workshop = workshop
        self._registry = CollectorRegistry()
        self._ended = self._counter("jobs_ended", "Jobs that are over, since the start.", "state", "task")
        self._failed = self._counter("job_failures", "Jobs that failed: by a fault here, or as they asked.", "kind")
        self._pictures = self._counter("pictures", "Pictures of jobs that are over.", "task")
        self._steps = self._counter("steps", "Steps that were computed, times pictures.")
        self._drawn = self._counter("job_seconds", "Seconds that jobs were drawn.")
        self._seconds = self._histogram("job_duration_seconds", "How long jobs were drawn.")
        self._waited = self._histogram("job_wait_seconds", "How long jobs waited until they were drawn.")
        self._registry.register(_Now(workshop))
        workshop.told.append(self.count)
        workshop.broadcast.hooks.append(self.hear)

    def count(self, ticket: Ticket) -> None:
        """A job is over that this server drew, or that was cancelled here."""
        self._ended.labels(ticket.state, ticket.task).inc()
        if ticket.state == "failed":
            self._failed.labels("fault" if ticket.is_fault else "asked").inc()
        if ticket.started is not None and ticket.ended is not None:
            seconds = max(0.0, ticket.ended - ticket.started)
            self._drawn.inc(seconds)
            self._seconds.labels(ticket.task).observe(seconds)
            self._waited.labels(ticket.task).observe(max(0.0, ticket.started - ticket.created))
            with suppress(DatabaseAway):
                self._pictures.labels(ticket.task).inc(len(self._workshop.results(ticket)))

    def hear(self, event: JobEvent) -> None:
        """A step of so many pictures was computed; of jobs that others draw no pictures are named."""
        if event.kind == "progress":
            self._steps.inc(len(event.seeds))

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"blipdiff_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"blipdiff_{name}", text, ("task",), registry=self._registry, buckets=_SECONDS)


class _Now:
    """What is looked at when it is asked for."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    def collect(self) -> Iterator[Metric]:
        """The figures, without those of a database that is away."""
        with suppress(DatabaseAway):
            yield from list(self._kept())
        data = (self._workshop.queue.data, self._workshop.history.data)
        yield _counted("database_errors", "How often the database did not answer.", sum(one.errors for one in data))
        yield _gauge("database_away", "1 while the database does not answer.", any(one.is_away for one in data))
        yield from self._machine()

    def _kept(self) -> Iterator[Metric]:
        """What the database tells; on several servers each tells the same of the queue."""
        workshop = self._workshop
        rows = workshop.queue.data.rows(
            "SELECT state, count(*) AS count, min(created) AS oldest FROM jobs GROUP BY state"
        )
        known = {str(row["state"]): row for row in rows}
        jobs = GaugeMetricFamily("blipdiff_jobs", "Jobs in the queue.", labels=["state"])
        oldest = GaugeMetricFamily("blipdiff_jobs_oldest_seconds", "Age of the oldest job.", labels=["state"])
        for state in STATES:
            jobs.add_metric([state], known[state]["count"] if state in known else 0)
        for state in ("waiting", "drawing"):
            age = time.time() - known[state]["oldest"] if state in known else 0
            oldest.add_metric([state], max(0.0, age))
        yield from (jobs, oldest)
        yield _gauge("history_bytes", "Bytes of the history's pictures.", workshop.history.size)
        if (shelf := workshop.history.shelf) is not None:
            outbox = shelf.outbox
            yield _gauge("store_waiting_files", "Files of this server that are not sent yet.", outbox.waiting())
            yield _gauge("store_away", "1 while the results' place does not answer.", outbox.trouble is not None)
            yield _counted("store_failures", "How often the results' place did not answer.", outbox.failures)
            yield _counted("store_sent", "Files that were sent or removed.", outbox.sent)

    def _machine(self) -> Iterator[Metric]:
        workers = self._workshop.workers
        yield _gauge("workers", "Devices that draw.", len(workers))
        yield _gauge("workers_drawing", "Devices that draw now.", sum(one.drawing is not None for one in workers))
        weights = GaugeMetricFamily("blipdiff_model_bytes", "Weights of open models.", labels=["model", "device"])
        for number, worker in enumerate(workers):
            for name, size in worker.artist.loaded.items():
                weights.add_metric([name, str(number)], size)
        yield weights
        yield _gauge("process_memory_bytes", "Memory of this process.", psutil.Process().memory_info().rss)
        memory = GaugeMetricFamily("blipdiff_device_memory_bytes", "Memory in use on a device.", labels=["device"])
        torch = sys.modules.get("torch")
        cuda = getattr(torch, "cuda", None)
        if cuda is not None and cuda.is_initialized():
            for number in range(cuda.device_count()):
                memory.add_metric([f"cuda:{number}"], cuda.memory_reserved(number))
        yield memory


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"blipdiff_{name}", text, value=float(value))


def _counted(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"blipdiff_{name}", text, value=float(value))
