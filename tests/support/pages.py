"""The page on a given model, served with its workshop by this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.doors.access import Access
from app.jobs.workshop import Machine, Workshop
from app.server import Running, serve
from app.settings import Settings
from app.ui.mounted import behind_door
from app.ui.orders import Orders
from app.ui.page import build_page
from pipelines.studio import Studio


@contextmanager
def served_page(studio: Studio, folder: Path, access: Access | None = None) -> Iterator[Running]:
    """The page whose pictures, subjects and queue lie in a folder."""
    settings = Settings(output=folder / "output", library=folder / "library", history=folder / "history")
    machine = Machine([studio.model.name], lambda _name, _device: studio)
    workshop = Workshop(settings.history, machine, library=settings.library)
    page = build_page(studio, settings, Orders())
    with serve(workshop, access=access, page=behind_door(page, access or Access())) as running:
        yield running
