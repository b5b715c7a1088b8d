"""What the browser sends and fetches lies in a folder of this process; no page takes from another's."""

import time
from pathlib import Path

import httpx
import pytest
from gradio.utils import get_upload_folder

from app.server import Running
from app.ui.files import forget_old, own_cache
from app.ui.page import build_page
from pipelines.studio import Studio
from tests.support.pages import served_page, settings_in, workshop_in
from tests.support.tiny_models import tiny_model

PATIENCE = 60  # seconds: these tests also run on busy machines


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


def sent(page: Running) -> str:
    """A file is uploaded; its place on the server."""
    answer = httpx.post(
        f"{page.page}gradio_api/upload", timeout=PATIENCE, files={"files": ("dog.txt", b"the same dog")}
    )
    return str(answer.json()[0])


def test_a_page_that_ends_takes_nothing_from_another(studio: Studio, tmp_path: Path) -> None:
    with served_page(studio, tmp_path / "one") as page:
        with served_page(studio, tmp_path / "other") as other:
            path = sent(page)
            assert path == sent(other)
        assert httpx.get(f"{page.page}gradio_api/file={path}", timeout=PATIENCE).content == b"the same dog"


def test_the_folder_is_this_processs_own(studio: Studio, tmp_path: Path) -> None:
    with served_page(studio, tmp_path):
        pass
    assert get_upload_folder() == own_cache().name
    assert Path(own_cache().name).name.startswith("blipdiff-page-")


def test_what_nobody_needed_for_a_day_is_cleared(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = workshop_in(tmp_path, studio)
    page = build_page(workshop, settings_in(tmp_path))
    workshop.close()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    (tmp_path / "hash").mkdir()
    old, shown = tmp_path / "hash" / "old.png", tmp_path / "hash" / "shown.png"
    for path in (old, shown):
        path.write_bytes(b"x")
    page.blocks[min(page.blocks)].keep_in_cache.add(str(shown))
    forget_old(page)
    assert old.exists()
    later = time.time() + 2 * 24 * 3600
    monkeypatch.setattr(time, "time", lambda: later)
    forget_old(page)
    assert (old.exists(), shown.exists()) == (False, True)
