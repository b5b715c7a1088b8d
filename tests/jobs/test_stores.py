"""Results in a bucket of a real server, or in a folder: nothing is lost while that is away; a new machine has all."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.jobs import kept_jobs
from app.jobs.history import History, Search
from app.jobs.outbox import Outbox
from app.jobs.stores import Bucket, FolderStore, store_at
from app.jobs.tickets import Sender, new_name
from blipdiff.errors import ConfigError, OutputError
from pipelines.blend.request import BlendRequest
from pipelines.job import Job
from pipelines.task import Result
from tests.jobs.test_history import results
from tests.jobs.test_workshop import until
from tests.support.buckets import KEYS, Buckets, buckets
from tests.support.disks import largest_file
from tests.support.studios import dog, job
from tests.support.workshops import workshop

_PATIENCE = 120.0


@pytest.fixture(scope="module")
def server() -> Iterator[Buckets]:
    with buckets() as made:
        yield made


@pytest.fixture
def bucket(server: Buckets, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return server.bucket(f"pictures-{new_name()}")


def kept(history: History, **changes: object) -> list[str]:
    name = new_name()
    return [history.add(result, name, number, "local").id for number, result in enumerate(results(**changes))]


def sent(history: History) -> History:
    assert history.shelf is not None
    outbox = history.shelf.outbox
    until(lambda: outbox.waiting() == 0 and outbox.trouble is None, _PATIENCE)
    return history


def here(history: History) -> list[str]:
    return sorted(path.name for path in history.folder.rglob("*.png"))


def opened(folder: Path, url: str, most: int | None = None) -> History:
    return History(folder, most, store=store_at(url))


def test_a_new_machine_has_the_whole_history_of_a_bucket(tmp_path: Path, bucket: str, server: Buckets) -> None:
    first = opened(tmp_path / "one", bucket)
    name = new_name()
    (drawn,) = results()
    drawn = Result(drawn.picture, drawn.name, drawn.label, beside={"before": drawn.picture})
    one = first.add(drawn, name, 0, "local").id
    other, gone = kept(first, count=2, seed=4)
    first.mark(one, favourite=True)
    first.throw_away([other])
    kept_jobs.keep(first, name, job(seed=8))
    first.throw_away([gone])
    first.restore([gone])
    first.throw_away([gone])
    entries = sent(first).search(Search()) + first.search(Search(binned=True))
    content = first.file(first.entry(one)).read_bytes()
    first.close()
    assert all("secret" not in item for item in server.names(bucket))
    second = opened(tmp_path / "two", bucket)
    until(lambda: len(second) == 3, _PATIENCE)
    again = second.search(Search()) + second.search(Search(binned=True))
    assert [(e.id, e.prompt, e.bytes, e.is_favourite, e.is_binned, e.path) for e in again] == [
        (e.id, e.prompt, e.bytes, e.is_favourite, e.is_binned, e.path) for e in entries
    ]
    assert here(second) == [], "pictures come when they are asked for"
    assert sorted(second.beside(second.entry(one))) == ["before"]
    assert second.file(second.entry(one)).read_bytes() == content
    assert second.file(second.entry(one), "before").is_file()
    kept_job = kept_jobs.find(second, name)
    assert kept_job is not None and kept_job.request.seed == 8
    assert second.empty_bin() == 2
    sent(second).close()
    assert len([item for item in server.names(bucket) if item.endswith(".png")]) == 2


def test_sheets_come_from_the_bucket_too(tmp_path: Path, bucket: str) -> None:
    blend = Job.of(BlendRequest(frames=3, steps=2, film=("webp",)), subject=[dog(0), dog(1)])
    with workshop(tmp_path / "one", results=bucket) as made:
        name = made.submit(blend, Sender()).id
        assert made.wait(name, _PATIENCE).state == "done"
        before = sorted(made.history.sheets(name, "local"))
        assert before
    second = opened(tmp_path / "two", bucket)
    until(lambda: len(second) == 3, _PATIENCE)
    assert sorted(second.sheets(name, "local")) == before
    assert all(path.stat().st_size > 0 for path in second.sheets(name, "local", fetched=True).values())
    second.close()


def test_a_bucket_that_is_away_loses_nothing_and_stops_nothing(
    tmp_path: Path, server: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    with buckets() as own, workshop_at(tmp_path, own, monkeypatch) as made:
        shelf = made.history.shelf
        assert shelf is not None
        outbox = shelf.outbox
        own.stop()
        name = made.submit(job(count=2), Sender()).id
        assert made.wait(name, _PATIENCE).state == "done"
        trouble = until(lambda: outbox.trouble, _PATIENCE)
        assert trouble == f"The results' place {shelf.store.place} is away: it does not answer."
        assert outbox.waiting() == 2 and outbox.failures > 0
        assert made.history.file(made.history.entry(f"{name}-000")).is_file()
        own.start()
        own.bucket("studio")
        sent(made.history)
        assert len(own.names("s3://studio/studio")) == 2


def workshop_at(folder: Path, own: Buckets, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    for name, value in own.environment.items():
        monkeypatch.setenv(name, value)
    return workshop(folder, results=own.bucket("studio"))


def test_what_a_killed_process_had_not_sent_the_next_one_sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(Outbox, "start", lambda _outbox: None)
        first = opened(tmp_path / "here", str(tmp_path / "there"))
        one = kept(first)[0]
        first.shelf.outbox.coming(["pictures/local/2026-11-29/never-written.png"])  # type: ignore[union-attr]
        first.data.close()
    assert list((tmp_path / "there").rglob("*.png")) == []
    again = sent(opened(tmp_path / "here", str(tmp_path / "there")))
    assert [path.name for path in (tmp_path / "there").rglob("*.png")] == [Path(again.entry(one).path).name]
    again.close()


def test_pictures_that_were_here_before_a_place_was_named_are_sent_once(tmp_path: Path) -> None:
    plain = History(tmp_path / "here")
    names = kept(plain, count=2)
    plain.close()
    sent(opened(tmp_path / "here", str(tmp_path / "there"))).close()
    files = sorted((tmp_path / "there").rglob("*.png"))
    assert len(files) == 2
    files[0].unlink()  # somebody else removed it
    again = sent(opened(tmp_path / "here", str(tmp_path / "there")))
    until(lambda: len(again) == 1, _PATIENCE)
    assert [entry.id for entry in again.search(Search())] == [names[1]]
    again.close()


def test_space_bounds_the_folder_and_never_the_place(tmp_path: Path) -> None:
    history = opened(tmp_path / "here", str(tmp_path / "there"))
    first = kept(history)[0]
    history.most = history.entry(first).bytes * 2
    names = [first, *(sent(history) and kept(history, seed=seed)[0] for seed in range(1, 5))]
    sent(history)
    history.file(history.entry(names[0]))
    assert len(here(history)) <= 3
    assert len(list((tmp_path / "there").rglob("*.png"))) == len(history) == 5
    for name in names:
        assert history.file(history.entry(name)).is_file()
        assert len(here(history)) <= 2
    history.close()


def test_places_that_cannot_be_used_are_told_without_keys(tmp_path: Path, bucket: str, server: Buckets) -> None:
    wrong = {
        "ftp://there/x": "ftp://",
        "s3://key:secret-word@pictures/x": "Keys do not belong",
        "s3:///x": "name of a bucket",
        "file://elsewhere/x": "another machine",
    }
    for one, words in wrong.items():
        with pytest.raises(ConfigError, match=words) as told:
            store_at(one)
        assert "secret-word" not in str(told.value)
    with pytest.raises(ConfigError, match="own folder"):
        opened(tmp_path / "here", str(tmp_path / "here"))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        store_at(str(tmp_path / "file" / "below"))
    with pytest.raises(OutputError, match="no such bucket"):
        list(Bucket("s3://nobody-made-this/x").sizes("pictures/"))
    store = Bucket(bucket)
    store.put(tmp_path / "file", "pictures/a.png")
    with server.asking_for_rights():
        for refused in (
            lambda: store.put(tmp_path / "file", "pictures/a.png"),
            lambda: store.get("pictures/a.png", tmp_path / "a.png"),
            lambda: list(store.sizes("pictures/")),
            lambda: store.remove("pictures/a.png"),
        ):
            with pytest.raises(OutputError, match="may not be read or written with these keys") as told_of:
                refused()
            assert not any(key in str(told_of.value) for key in KEYS.values())
    assert list(store.sizes("pictures/")) == [("pictures/a.png", 0)]


def test_a_full_disk_is_told_of_as_this_machines_own(tmp_path: Path, bucket: str) -> None:
    large = tmp_path / "large"
    large.write_bytes(os.urandom(2**20))
    for store in (Bucket(bucket), FolderStore(tmp_path / "there")):
        store.put(large, "pictures/large.png")
        with largest_file(2**16), pytest.raises(OutputError):
            store.get("pictures/large.png", tmp_path / "here" / "large.png")
        assert not (tmp_path / "here" / "large.png").exists()
        assert store.get("pictures/large.png", tmp_path / "here" / "large.png")
        assert store.head("pictures/large.png", 100) == large.read_bytes()[:100]
        assert not store.get("pictures/other.png", tmp_path / "here" / "other.png")
        (tmp_path / "here" / "large.png").unlink()


def test_a_full_disk_leaves_nothing_that_waits_to_be_sent(tmp_path: Path) -> None:
    history = sent(opened(tmp_path / "here", str(tmp_path / "there")))
    (drawn,) = results()
    with largest_file(2**10), pytest.raises(OutputError, match="cannot be written"):
        history.add(drawn, new_name(), 0, "local")
    assert history.shelf is not None
    assert history.shelf.outbox.waiting() == 0
    assert here(history) == []
    assert len(kept(history)) == 1
    sent(history).close()
