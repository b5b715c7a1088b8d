"""The history's tab without a browser: what it shows, what clicks do, where pictures go."""

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.jobs import thumbnails
from app.jobs.export import zipped
from app.jobs.history import History, Search
from app.jobs.projects import bring_in, opened_project
from app.jobs.recall import as_asked, recalled
from app.jobs.workshop import Workshop
from app.ui.bench import with_seed
from app.ui.history.acts import Acts
from app.ui.history.look import ON_A_PAGE, Look, entry_of
from app.ui.history.onward import Onward
from app.ui.page import build_page
from app.ui.texts import speaking
from blipdiff.errors import ConfigError, OutputError
from blipdiff.images import open_picture
from pipelines.job import Job, run
from pipelines.task import Result
from tests.support.histories import drawn_in, fill, job_of_each_task
from tests.support.page_asked import VISIT, Asked
from tests.support.pages import settings_in, workshop_in
from tests.support.studios import job, pixels
from tests.support.workshops import tiny_studio


@dataclass
class Tab:
    """The handlers on a built page, a picture of each task, and what was put into the line."""

    workshop: Workshop
    asked: Asked
    acts: Acts
    onward: Onward
    names: dict[str, str]

    def act(self, name: str, **more: Any) -> tuple[Any, Any]:
        return self.acts.act(event(act=name, **more))

    def view(self, **look: Any) -> str:
        return str(self.act("look", look=look)[0])


def event(**told: Any) -> Any:
    return SimpleNamespace(_data=told)


def ids(view: str) -> list[str]:
    return re.findall(r'<li data-id="([^"]+)"', view)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    folder = tmp_path_factory.mktemp("history")
    workshop = workshop_in(folder, tiny_studio())
    page = build_page(workshop, settings_in(folder))
    workshop.start()
    names = drawn_in(workshop, job_of_each_task(folder / "net"))
    for worker in workshop.workers:
        worker.close()  # what is asked for stays in the line
    seen = Asked(page)
    room = handlers(page)
    made = Acts(room)
    yield Tab(workshop, seen, made, Onward(room, made), names)
    workshop.close()


def handlers(page: Any) -> Any:
    """The room of a built page."""
    found = [one.fn for one in page.fns.values() if getattr(one.fn, "__wrapped__", None) is not None]
    return next(one.__wrapped__.__self__._room for one in found if isinstance(_self(one), Acts))


def _self(handler: Any) -> Any:
    return getattr(handler.__wrapped__, "__self__", None)


def test_what_a_browser_tells_is_taken_as_far_as_the_page_can_have_shown_it() -> None:
    assert Look.of({"by": "subject", "words": "snow", "page": 2, "binned": True}) == Look(
        "subject", words="snow", page=2, binned=True
    )
    for told in (None, [], {"by": "owner"}, {"page": -1}, {"page": True}, {"words": 3}, {"words": "a" * 501}):
        assert Look.of(told) == Look(), told
    assert Look.of(Look(words="x", page=3).told) == Look(words="x", page=3)


def test_boards_filters_and_words_show_what_they_say(tab: Tab) -> None:
    everything = set(tab.names.values())
    assert set(ids(tab.view())) == everything
    assert ids(tab.view(task="scene")) == [tab.names["scene"]]
    assert set(ids(tab.view(words="SNOW redraw"))) == {tab.names["redraw"]}
    assert "Nothing here is like that" in tab.view(words="nowhere")
    by_subject = tab.view(by="subject")
    boards = re.findall(r'data-board="([^"]+)"', by_subject)
    assert len(boards) >= 2
    assert set(ids(tab.view(by="subject", board=boards[0]))) < everything
    assert ids(tab.view(by="day", board="1999-01-01")) == []
    assert 'aria-pressed="true">By subject' in by_subject
    with speaking("zh"):
        assert "按主体" in tab.view()


def test_pages_hold_few_pictures_however_many_there_are(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.ui.history.grid.ON_A_PAGE", 4)
    first, last = tab.view(), tab.view(page=2)
    assert len(ids(first)) == 4 and "Older" in first and "Newer" not in first
    assert set(ids(first)) | set(ids(tab.view(page=1))) | set(ids(last)) == set(tab.names.values())
    assert "Older" not in last and "Newer" in last
    assert ids(tab.view(page=99)) == ids(last), "the last page, where there are fewer by now"
    assert ON_A_PAGE == 96


def test_favourites_bin_and_undo(tab: Tab) -> None:
    one, other = tab.names["edit"], tab.names["blend"]
    view, picture = tab.act("favourite", ids=[one], viewing=one)
    assert "1 picture marked as favourite" in view and f'data-id="{one}"' in picture
    assert ids(tab.view(favourites=True)) == [one]
    assert "2 pictures marked" in tab.act("favourite", ids=[one, other])[0], "some are none yet"
    assert "no longer" in tab.act("favourite", ids=[one, other])[0]
    view, _ = tab.act("delete", ids=[one, other])
    assert set(re.findall(r'data-ids="([^"]+)"', view)[0].split()) == {one, other}
    assert not {one, other} & set(ids(view))
    assert set(ids(tab.view(binned=True))) == {one, other}
    assert {one, other} <= set(ids(tab.act("restore", ids=[one, other])[0]))
    assert "No picture is chosen" in tab.act("delete", ids=["", 3, "../x"])[0]
    assert "cannot be brought back" not in tab.act("ask")[0], "the bin is empty"


def test_a_token_holders_pictures_are_not_the_pages(tab: Tab) -> None:
    [theirs] = fill(tab.workshop.history, tiny_studio(), {"generate": job(seed=99)}, owner="ann")["generate"]
    assert theirs not in ids(tab.view())
    assert entry_of(tab.workshop.history, theirs) is None
    assert tab.act("open", id=theirs)[1] == ""
    assert "No picture is chosen" in tab.act("delete", ids=[theirs])[0]
    tab.workshop.history.throw_away([theirs])
    tab.act("empty")
    assert tab.workshop.history.find(theirs) is not None


def test_a_picture_is_shown_with_its_whole_job(tab: Tab) -> None:
    for task, name in tab.names.items():
        shown = tab.act("open", id=name)[1]
        entry = tab.workshop.history.entry(name)
        assert "damaged" not in shown and "All settings" in shown, task
        if task != "remove-background":
            assert "<dd>7</dd>" in shown and entry.prompt in shown, task
        assert ("Only the seed" in shown, "Vary a little" in shown) == (task != "remove-background",) * 2, task
    scene = tab.act("open", id=tab.names["scene"])[1]
    newer, older = re.findall(r'data-newer="(.*?)" data-older="(.*?)"', scene)[0]
    assert (newer, older) == (tab.names["upscale"], tab.names["blend"])
    alone = tab.act("open", id=tab.names["scene"], look={"task": "scene"})[1]
    assert 'data-newer="" data-older=""' in alone


def test_every_tasks_picture_is_recalled_whole_or_in_part(tab: Tab) -> None:
    for task, name in tab.names.items():
        entry = tab.workshop.history.entry(name)
        changes = named(tab.onward.recall(entry))
        prefix, status = ("field", "status") if task == "generate" else (task, f"{task}-status")
        assert "as it was" in changes[status], (task, changes[status])
        assert changes["tabs"].selected == f"{task}-tab"
        if task == "remove-background":
            continue
        typed = "edit-sentence" if task == "edit" else f"{prefix}-prompt"
        wanted = "cat on a sofa" if task == "edit" else entry.prompt
        assert (changes[f"{prefix}-seed"], changes[typed]) == ("7", wanted)
        seed, words = named(tab.onward.recall(entry, "seed")), named(tab.onward.recall(entry, "prompt"))
        assert seed[f"{prefix}-seed"] == "7" and typed not in seed and f"{prefix}-steps" not in seed
        assert words[typed] == wanted and f"{prefix}-seed" not in words
        assert f"{prefix}-negative" in words


def named(changes: dict[Any, Any]) -> dict[str, Any]:
    return {component.elem_id: value for component, value in changes.items()}


def test_a_variation_is_recalled_as_the_one_that_it_is() -> None:
    asked = job(seed=4, count=3, variation=0.3, variation_seed=20)
    third = [one for one in run(tiny_studio(), asked) if isinstance(one, Result)][2].picture
    again = with_seed(replace(Job.from_mapping(third.job), model=None), third.seed)
    alone = replace(again, request=replace(again.request, count=1), index=None)
    assert (alone.request.seed, alone.request.variation_seed) == (4, 22)
    drawn = next(one for one in run(tiny_studio(), alone) if isinstance(one, Result)).picture
    assert abs(pixels(drawn) - pixels(third)).max() <= 1


def test_pictures_go_to_every_tab_that_takes_them(tab: Tab) -> None:
    shown = tab.act("open", id=tab.names["generate"])[1]
    places = set(re.findall(r'data-act="send" data-kind="(\w+)" data-to="([\w-]+)"', shown))
    wanted = {("picture", one) for one in ("edit", "upscale", "redraw", "remove-background")}
    wanted |= {("subject", one) for one in ("generate", "stylize", "edit", "blend", "scene", "library")}
    assert wanted | {("structure", "stylize")} <= places
    for kind, to in places:
        changes = named(tab.onward.go(event(act="send", id=tab.names["generate"], kind=kind, to=to)))
        assert changes["tabs"].selected == f"{to}-tab" and len(changes) > 1, (kind, to)
    redraw = named(tab.onward.go(event(act="send", id=tab.names["generate"], kind="picture", to="redraw")))
    assert "redraw-picture" in redraw and "redraw-mask" not in redraw, "a picture is no mask"


def test_more_like_a_picture_is_put_into_the_line(tab: Tab) -> None:
    for task, count in {"generate": 4, "edit": 1, "scene": 4}.items():
        told = tab.onward.draw(VISIT, event(act="vary", id=tab.names[task], how="much"), "")  # type: ignore[arg-type]
        assert "Asked for" in told, (task, told)
        [ticket] = tab.workshop.queue.tickets(states=("waiting",), most=1)
        request = tab.workshop.queue.job(ticket.id).request
        assert (request.variation, request.seed, request.count) == (0.4, 7, count), task
        tab.workshop.cancel(ticket.id)
    tab.onward.draw(VISIT, event(act="again", id=tab.names["scene"]), "")  # type: ignore[arg-type]
    [ticket] = tab.workshop.queue.tickets(states=("waiting",), most=1)
    request = tab.workshop.queue.job(ticket.id).request
    assert request.seed != 7 and (request.variation, request.count) == (0, 1)
    tab.workshop.cancel(ticket.id)
    told = tab.onward.draw(VISIT, event(act="vary", id=tab.names["remove-background"]), "")  # type: ignore[arg-type]
    assert "comes from no seed" in told


def test_chosen_pictures_are_packed_and_all_that_were_found_where_none_is(tab: Tab, tmp_path: Path) -> None:
    view = tab.act("zip", ids=[tab.names["edit"]])[0]
    file = Path(re.findall(r'href="gradio_api/file=([^"]+)"', view)[0])
    with zipfile.ZipFile(file) as packed:
        [member] = packed.namelist()
        assert member.startswith(f"{file.stem}/20") and member.endswith(".png")
    view = tab.act("project", look={"words": "beach"})[0]
    with opened_project(Path(re.findall(r'href="gradio_api/file=([^"]+)"', view)[0])) as project:
        found = tab.workshop.history.search(Search("beach", owner="local"))
        assert {name[:25] for name in project.pictures} == {entry.id for entry in found}
    assert "There is no picture here" in tab.act("zip", look={"words": "nowhere"})[0]


def test_a_file_of_too_many_bytes_is_refused(tab: Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.jobs.export.MOST_BYTES", 10)
    with pytest.raises(OutputError, match="Choose fewer of them"):
        zipped(tmp_path / "all.zip", tab.workshop.history, tab.workshop.history.search(Search()))
    assert not list(tmp_path.iterdir())
    assert "Choose fewer" in tab.act("project")[0]


def test_thumbnails_are_made_once_and_go_with_their_picture(tmp_path: Path) -> None:
    history = History(tmp_path)
    [name] = fill(history, tiny_studio(), {"generate": job()})["generate"]
    picture = history.file(history.entry(name))
    path = thumbnails.made(tmp_path, name, picture)
    before = path.stat().st_mtime_ns
    assert open_picture(path).size == open_picture(picture).size
    assert thumbnails.made(tmp_path, name, picture) == path and path.stat().st_mtime_ns == before
    assert history.reconcile() == (0, 0), "a small picture is no picture"
    history.throw_away([name])
    history.empty_bin()
    assert not path.exists()
    history.close()


def test_a_damaged_picture_is_shown_and_thrown_away_all_the_same(tab: Tab) -> None:
    history = tab.workshop.history
    [name] = fill(history, tiny_studio(), {"generate": job(seed=55)})["generate"]
    history.file(history.entry(name)).write_bytes(b"broken")
    assert "damaged" in tab.act("open", id=name)[1]
    with pytest.raises(ConfigError):
        history.entry("nothing")
    tab.act("delete", ids=[name])
    assert "1 picture removed" in tab.act("empty")[0]


def test_a_project_brings_what_pictures_do_not_keep_to_another_machine(tab: Tab, tmp_path: Path) -> None:
    view = tab.act("project", ids=[tab.names["edit"]])[0]
    other = workshop_in(tmp_path, tiny_studio())
    with opened_project(Path(re.findall(r'href="gradio_api/file=([^"]+)"', view)[0])) as project:
        assert bring_in(project, other.history, other.library, "local") == (1, 0)
    entry = other.history.entry(tab.names["edit"])
    assert [one.content for one in other.history.job(entry).given("source")] == [None]
    for job_again in (recalled(other, entry), as_asked(other, entry)):
        assert job_again.opened().given("source")[0].image.size == (16, 16)
    other.close()
