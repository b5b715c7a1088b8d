"""The page on a given model, served with its workshop by this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.doors.access import Access
from app.jobs.workshop import Machine, Workshop
from app.server import Running, serve
from app.settings import Settings
from app.ui.mounted import behind_door
from app.ui.page import build_page
from pipelines.studio import Studio


def settings_in(folder: Path) -> Settings:
    """Everything in one folder."""
    places = {name: folder / name for name in ("output", "library", "history", "presets")}
    return Settings(**places)  # type: ignore[arg-type]


def workshop_in(folder: Path, studio: Studio, *, is_warmed: bool = True) -> Workshop:
    """A workshop that draws with this model; not yet begun."""
    settings = settings_in(folder)
    machine = Machine([studio.model.name], lambda _name, _device: studio, is_warmed=is_warmed)
    return Workshop(settings.history, machine, library=settings.library)


@contextmanager
def served_page(studio: Studio, folder: Path, access: Access | None = None) -> Iterator[Running]:
    """The page whose pictures, subjects and queue lie in a folder."""
    workshop = workshop_in(folder, studio)
    page = build_page(workshop, settings_in(folder))
    with serve(workshop, access=access, page=behind_door(page, access or Access())) as running:
        yield running
