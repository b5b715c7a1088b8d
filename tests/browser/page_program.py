"""A program that serves the page on a tiny model at a port, with all its things in a folder, until it is killed."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from app.doors.access import Access
from app.doors.listening import listen
from app.server import serve
from app.ui.mounted import behind_door
from app.ui.page import build_page
from pipelines.studio import Studio
from tests.support.pages import settings_in, workshop_in
from tests.support.tiny_models import tiny_model

HOLD = "hold"  # the file in the folder that holds the drawing after a few steps
CALLS_BEFORE_HOLDING = 4


def holding(hold: Path) -> Callable[..., None]:
    """A hook that lets a few calls of a network pass, and then none as long as there is a file."""
    passed = 0

    def pause(*_: object) -> None:
        nonlocal passed
        passed = passed + 1 if hold.exists() else 0
        while passed > CALLS_BEFORE_HOLDING and hold.exists():
            time.sleep(0.01)

    return pause


def main(folder: Path, port: int) -> None:
    studio = Studio(tiny_model())
    studio.model.unet.register_forward_hook(holding(folder / HOLD))
    workshop = workshop_in(folder, studio)
    page = behind_door(build_page(workshop, settings_in(folder)), Access())
    with serve(workshop, page=page, listening=listen("127.0.0.1", port)) as running:
        print(running.page, flush=True)
        running.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
