"""A batch drawn by the workers of a Ray cluster, into the same folder and under the same names as by one process."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from app.cluster.connection import Workers, connected
from app.cluster.handing_out import handed_out
from app.jobs.batch import JOURNAL, Journal
from app.jobs.batch_chunks import MOST_LINES, Chunk, Drawing, chunks
from app.jobs.batch_drawing import FAILED
from app.jobs.batch_index import CARDS, Index, held
from app.jobs.batch_lines import Reader, check_manifest
from app.jobs.manifest import Manifest, Stamps
from app.jobs.shared_cards import SharedCards
from pipelines.studio import Studio
from pipelines.subject_library import SubjectLibrary

AT_ONCE = 8192
Draw: TypeAlias = Callable[[Drawing, Callable[[], Studio], Chunk], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Batch:
    """What is drawn, all places absolute: workers have folders of their own.

    opening: how a worker's model is opened, as `Studio.open` takes it; draw: what becomes of a chunk, `Drawing.draw`
    unless a measurement has something else in its place; most: lines that a worker is handed at a time
    """

    jobs: Path
    output: Path
    library: Path
    task: str
    shared: Mapping[str, Any]
    together: bool
    opening: Mapping[str, Any]
    converted: Path | None = None
    draw: Draw = Drawing.draw
    most: int = MOST_LINES
    at_once: int = AT_ONCE


def studio_of(batch: Batch) -> Studio:
    """A worker's studio, which shares the subjects that it encodes with all others."""
    opening = dict(batch.opening)
    studio = Studio.open(opening.pop("model"), converted=batch.converted, **opening)
    studio.share = SharedCards.of(batch.output / CARDS, studio)
    return studio


def draw_over_ray(batch: Batch, address: str, workers: Workers, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """What became of each line that was not done, as the journal in the folder tells it.

    say: takes how many lines are done already

    Raises: BlipdiffError where there is no cluster or no model, where the manifest cannot be read, and where another
    command draws there.
    """
    manifest = Manifest(batch.jobs, batch.task, batch.shared)
    check_manifest(manifest)
    library = SubjectLibrary(batch.library)
    folder, failed = batch.output, 0
    with held(folder) as work, connected(address) as cluster:
        pool = cluster.pool(workers, device=str(batch.opening.get("device", "auto")))
        index = Index.read(folder)
        stamps = Stamps(batch.jobs.parent, library, batch.task)
        reader = Reader(batch.jobs.parent, library, batch.task)
        drawing = Drawing(folder, work, reader, batch.together, index.keys)
        done, together, most, at_once = index.marks, batch.together, batch.most, batch.at_once

        def units(first: int) -> Iterator[Chunk]:
            every = chunks(manifest, stamps, done, together=together, workers=pool.most, most=most)
            return islice(every, first, first + at_once)

        def work_on(late: _Late, chunk: Chunk) -> tuple[Chunk, list[dict[str, Any]]]:
            return _drawn(batch, drawing, late, chunk)

        make = partial(_Late, batch)

        def ends() -> Iterator[tuple[Chunk, list[dict[str, Any]]]]:
            """Of all chunks, some after the others; the last one of all has no rows."""
            over, first = False, 0
            while not over:
                for chunk, told in handed_out(partial(units, first), make, work_on, pool, ordered=False, deaths=None):
                    over = over or chunk.is_last
                    yield chunk, told
                first += at_once

        journal = Journal(folder / JOURNAL)
        for chunk, told in ends():
            journal.write(*told)
            failed += sum(one["state"] == FAILED for one in told)
            with suppress(OSError):
                shutil.rmtree(work / str(chunk.number))
            if chunk.known:
                say(f"{chunk.known} of {chunk.lines} lines are done already.")
            yield from told
    if not failed:
        shutil.rmtree(folder / CARDS, ignore_errors=True)


class _Late:
    """A worker's studio, opened when the first line is drawn: a chunk may hold none that can be."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._studio: Studio | None = None

    def __call__(self) -> Studio:
        """The studio. Raises: BlipdiffError for a model that cannot be opened."""
        if self._studio is None:
            self._studio = studio_of(self._batch)
        return self._studio


def _drawn(
    batch: Batch, drawing: Drawing, studio: Callable[[], Studio], chunk: Chunk
) -> tuple[Chunk, list[dict[str, Any]]]:
    """What became of a chunk's lines, and the chunk without them."""
    told = batch.draw(drawing, studio, chunk) if chunk.rows else []
    return replace(chunk, rows=()), told
