"""The history: an index that can be lost, boards, search, favourites, a bin, a limit."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.jobs.history import INDEX, History, Search
from app.jobs.tickets import new_name
from blipdiff.errors import ConfigError
from pipelines.job import Job
from pipelines.job import run as run_job
from pipelines.task import Result
from tests.support.studios import asked, dog, job
from tests.support.workshops import tiny_studio


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path)
    yield made
    made.close()


@pytest.fixture
def either(tmp_path: Path, database: str | None) -> Iterator[History]:
    made = History(tmp_path, database=database)
    yield made
    made.close()


def results(**changes: object) -> list[Result]:
    return [event for event in run_job(tiny_studio(), job(**changes)) if isinstance(event, Result)]


def kept(history: History, owner: str = "local", **changes: object) -> list[str]:
    name = new_name()
    return [history.add(result, name, number, owner).id for number, result in enumerate(results(**changes))]


def everything(history: History) -> list[object]:
    return history.search(Search(), most=1000) + history.search(Search(binned=True), most=1000)


def lose(history: History) -> None:
    history.close()
    for path in history.folder.glob(f"{INDEX}*"):
        path.unlink()


def test_a_lost_index_is_made_again_from_the_pictures_alone(history: History, tmp_path: Path) -> None:
    first = kept(history, count=2)
    kept(history, prompt="in the snow", category="teapot", seed=5)
    history.mark(first[0], favourite=True)
    history.throw_away([first[1]])
    before = everything(history)
    assert len(before) == 3
    lose(history)
    again = History(tmp_path)
    assert everything(again) == before
    again.close()


def test_a_damaged_index_is_put_aside_and_made_again(history: History, tmp_path: Path) -> None:
    kept(history)
    before = everything(history)
    lose(history)
    (tmp_path / INDEX).write_bytes(b"no database" * 1000)
    again = History(tmp_path)
    assert everything(again) == before
    assert (tmp_path / f"{INDEX}.damaged").exists()
    again.close()


def test_what_is_no_whole_picture_is_not_listed(history: History, tmp_path: Path) -> None:
    name = kept(history)[0]
    path = history.file(history.entry(name))
    half = path.with_name(f"{new_name()}-000-dog-0.png")
    half.write_bytes(path.read_bytes()[:200])
    path.with_name("photo.png").write_bytes(path.read_bytes())
    (path.parent / f"{new_name()}-000-link.png").symlink_to("/etc/passwd")
    assert history.reconcile() == (0, 0)
    assert len(everything(history)) == 1


def test_pictures_that_somebody_removed_are_listed_no_more(either: History) -> None:
    one, other = kept(either, count=2)
    either.file(either.entry(one)).unlink()
    assert either.reconcile() == (0, 1)
    assert [entry.id for entry in either.search(Search())] == [other]
    with pytest.raises(ConfigError, match="There is no result"):
        either.entry(one)


def test_search_finds_words_of_the_request_and_of_the_subject(either: History) -> None:
    beach = kept(either)[0]
    snow = kept(either, prompt="in deep Snow", category="Teapot")[0]
    found = {
        "snow": [snow],
        "SNOW teapot": [snow],
        "beach": [beach],
        "snow beach": [],
        "": [snow, beach],
        "100%_'\"": [],
    }
    for words, names in found.items():
        assert [entry.id for entry in either.search(Search(words=words))] == names, words
    assert [entry.id for entry in either.search(Search(task="edit"))] == []
    assert len(either.search(Search(model="tiny", task="generate"))) == 2


def test_boards_tell_subjects_of_one_word_apart(either: History) -> None:
    kept(either)
    kept(either, seed=1)
    other = Job.of(asked(), subject=dog(3))
    result = next(event for event in run_job(tiny_studio(), other) if isinstance(event, Result))
    either.add(result, new_name(), 0, "local")
    boards = either.boards("subject", Search())
    assert [(board.name, board.count) for board in boards] == [("dog", 1), ("dog", 2)]
    assert len(either.search(Search(subject=boards[1].key))) == 2
    assert len(either.search(Search(subject="dog"))) == 3
    assert [board.count for board in either.boards("day", Search())] == [3]


def test_the_bin_gives_back_what_was_thrown_away(either: History) -> None:
    name = kept(either)[0]
    path = either.file(either.entry(name))
    either.throw_away([name])
    assert not path.exists()
    assert either.search(Search()) == []
    assert [entry.id for entry in either.search(Search(binned=True))] == [name]
    either.restore([name])
    assert either.file(either.entry(name)) == path
    either.throw_away([name])
    assert either.empty_bin() == 1
    assert everything(either) == []
    assert list(either.folder.rglob("*.png")) == []


def test_a_limit_takes_the_oldest_and_never_a_favourite(tmp_path: Path) -> None:
    history = History(tmp_path)
    first, second, third = (kept(history, seed=seed)[0] for seed in range(3))
    history.mark(first, favourite=True)
    size = history.size
    history.close()
    limited = History(tmp_path, most=size + 10)
    fourth = kept(limited, seed=3)[0]
    assert {entry.id for entry in limited.search(Search())} == {first, third, fourth}
    assert second not in {entry.id for entry in limited.search(Search())}
    limited.close()


def test_pages_of_a_search_follow_each_other(either: History) -> None:
    for seed in range(2):
        kept(either, count=3, seed=10 * seed)
    found, before = [], None
    while page := either.search(Search(), most=2, before=before):
        found += [entry.id for entry in page]
        before = page[-1].id
    assert len(found) == len(set(found)) == 6
    assert found == sorted(found, reverse=True)


def test_owners_have_folders_of_their_own(either: History) -> None:
    mine, theirs = kept(either, owner="me")[0], kept(either, owner="you")[0]
    assert [entry.id for entry in either.search(Search(owner="me"))] == [mine]
    assert either.entry(theirs).path.startswith("pictures/you/")
