"""Files as answers: the history's pictures behind the page's door, and what is removed while it is sent."""

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from app.doors import files
from app.doors.files import file_answer
from app.jobs import thumbnails
from tests.support.histories import fill
from tests.support.pages import served_page
from tests.support.studios import job
from tests.support.workshops import tiny_studio


def test_a_file_that_is_removed_before_it_is_sent_arrives(tmp_path: Path) -> None:
    path = tmp_path / "dog.png"
    path.write_bytes(b"picture")

    def answer(_request: object) -> object:
        made = file_answer(path, "image/png", name="dog.png", headers={"Cache-Control": "private"})
        path.unlink()
        return made

    client = TestClient(Starlette(routes=[Route("/", answer)]))
    found = client.get("/")
    assert (found.status_code, found.content) == (200, b"picture")
    assert found.headers["content-disposition"] == 'attachment; filename="dog.png"'
    assert (found.headers["content-type"], found.headers["cache-control"]) == ("image/png", "private")
    with pytest.raises(FileNotFoundError):
        client.get("/")


def test_a_long_file_is_sent_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_MOST_AT_ONCE", 3)
    path = tmp_path / "film.mp4"
    path.write_bytes(b"frames")
    client = TestClient(Starlette(routes=[Route("/", lambda _request: file_answer(path, "video/mp4"))]))
    assert client.get("/", headers={"Range": "bytes=1-2"}).content == b"ra"


def test_small_and_whole_pictures_are_fetched_behind_the_door_alone(tmp_path: Path) -> None:
    with served_page(tiny_studio(), tmp_path) as running:
        history = running.workshop.history
        [mine] = fill(history, tiny_studio(), {"generate": job()})["generate"]
        [theirs] = fill(history, tiny_studio(), {"generate": job(seed=1)}, owner="ann")["generate"]
        small = httpx.get(f"{running.page}history/small/{mine}?1")
        assert (small.status_code, small.headers["content-type"]) == (200, "image/webp")
        assert "immutable" in small.headers["cache-control"]
        whole = httpx.get(f"{running.page}history/picture/{mine}")
        assert whole.content == history.file(history.entry(mine)).read_bytes()
        for name in (theirs, "x", "..%2f..%2fhistory.sqlite", f"{mine}0", "0" * 500):
            assert httpx.get(f"{running.page}history/small/{name}").status_code == 404, name
        assert httpx.post(f"{running.page}history/small/{mine}").status_code == 405
        history.file(history.entry(mine)).write_bytes(b"broken")
        thumbnails.place(history.folder, mine).unlink()
        assert httpx.get(f"{running.page}history/small/{mine}").status_code == 404
