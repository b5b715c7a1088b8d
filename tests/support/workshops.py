"""A workshop with tiny models, drawn in by this process, alone or served."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.jobs.workshop import Machine, Workshop
from app.server import Running, serve
from pipelines.studio import Studio
from tests.support.tiny_models import tiny_model


@cache
def tiny_studio(name: str = "tiny") -> Studio:
    return Studio(tiny_model(0 if name == "tiny" else 1))


def machine(opened: Callable[[str, str], Studio] | None = None, **more: Any) -> Machine:
    return Machine(("tiny", "other"), opened or (lambda name, _device: tiny_studio(name)), **more)


@contextmanager
def workshop(folder: Path, *, starts: bool = True, **more: Any) -> Iterator[Workshop]:
    own = {name: more.pop(name) for name in ("opened", "shortage") if name in more}
    made = Workshop(folder, machine(**own), library=folder / "subjects", **more)
    try:
        if starts:
            made.start()
        yield made
    finally:
        made.close()


@contextmanager
def served(
    folder: Path, *, space: int | None = None, opened: Any = None, results: str | None = None, **more: Any
) -> Iterator[Running]:
    made = Workshop(folder, machine(opened), library=folder / "subjects", space=space, results=results)
    with serve(made, **more) as running:
        yield running


def pixels(made: Workshop, name: str) -> list[np.ndarray]:
    """The pictures that came of a job."""
    ticket = made.queue.ticket(name)
    files = [made.history.file(made.history.entry(result)) for result in made.results(ticket)]
    return [np.asarray(Image.open(file)).astype(int) for file in files]
