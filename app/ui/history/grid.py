"""The history as HTML: search and filters, boards, the pictures of one page, and what can be done with them.

Nothing that a person has typed or chosen stands in it: app/assets/history.js keeps that, and asks with it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Literal, cast

from app.jobs.entries import Entry
from app.jobs.history import Board, History
from app.jobs.search import Search
from app.jobs.tickets import LOCAL
from app.ui.history.files import small_url
from app.ui.history.look import ON_A_PAGE, By, Look
from app.ui.markup import escaped
from app.ui.texts import said

_MOST_BOARDS = 200
_COVERS = 60  # boards that show their latest picture


def shown(history: History, look: Look, titles: Mapping[str, str], told: str = "") -> str:
    """What there is to see; `told` is HTML that is read aloud. titles: of tasks, by their names"""
    asked = look.search()
    count = history.count(asked)
    pages = max(1, -(-count // ON_A_PAGE))
    page = min(look.page, pages - 1)
    entries = history.search(asked, most=ON_A_PAGE, skip=page * ON_A_PAGE)
    parts = [
        f'<div class="told" role="status">{told}</div>',
        _filters(history, look, titles),
        _boards(history, look),
        _tools(look, count),
        _tiles(entries, titles) if entries else _nothing(look),
        _pages(page, pages, count),
        _room(history),
    ]
    data = f"data-look='{escaped(json.dumps(look.told | {'page': page}))}' data-changes=\"{history.changes}\""
    return f'<div class="history" {data}>{"".join(parts)}</div>'


def label_of(entry: Entry, titles: Mapping[str, str]) -> str:
    """What a picture is called aloud."""
    words = ", ".join(dict.fromkeys(one for one in (entry.subject, entry.prompt) if one))
    what = words or titles.get(entry.task, entry.task)
    return said("{what}, seed {seed}, {day}", what=what, seed=entry.seed, day=entry.day)


def button(act: str, label: str, *, about: str = "", looks: str = "", **data: str) -> str:
    """A button that app/assets/history.js hears; `about` is its name where the label is not enough."""
    more = "".join(f' data-{name}="{escaped(value)}"' for name, value in data.items())
    name = f' aria-label="{escaped(about)}" title="{escaped(about)}"' if about else ""
    return f'<button type="button" data-act="{act}"{more}{name} class="{looks}">{escaped(label)}</button>'


def _filters(history: History, look: Look, titles: Mapping[str, str]) -> str:
    everything = Search(owner=LOCAL, binned=look.binned)
    tasks = [(name, titles.get(name, name)) for name in history.names("task", everything)]
    models = [(name, name) for name in history.names("model", everything)]
    binned = history.count(Search(owner=LOCAL, binned=True))
    bin_ = button("bin", said("Back to the pictures") if look.binned else said("Bin ({count})", count=binned))
    return (
        '<div class="filters" role="search">'
        f'<input type="search" name="words" aria-label="{escaped(said("Search the history"))}" maxlength="200"'
        f' placeholder="{escaped(said("Search: words, subject, task, model"))}">'
        f"{_select('task', said('Task'), said('All tasks'), tasks, look.task)}"
        f"{_select('model', said('Model'), said('All models'), models, look.model)}"
        f'<label><input type="checkbox" name="favourites"> {escaped(said("Favourites"))}</label>'
        f"{bin_}</div>"
    )


def _select(name: str, label: str, every: str, choices: Sequence[tuple[str, str]], chosen: str) -> str:
    known = [("", every), *choices]
    if chosen not in {value for value, _ in known}:
        known.append((chosen, chosen))
    options = "".join(f'<option value="{escaped(value)}">{escaped(text)}</option>' for value, text in known)
    return f'<select name="{name}" aria-label="{escaped(label)}">{options}</select>'


def _boards(history: History, look: Look) -> str:
    boards = history.boards(cast("By", look.by), look.search(within_board=False))
    kinds: tuple[tuple[Literal["day", "subject"], str], ...] = (
        ("day", said("By date")),
        ("subject", said("By subject")),
    )
    by = "".join(
        f'<button type="button" data-act="by" data-by="{kind}" aria-pressed="{_yes(look.by == kind)}">{label}</button>'
        for kind, label in kinds
    )
    name, all_ = escaped(said("Boards")), escaped(said("All"))
    every = (
        f'<button type="button" data-act="board" data-board="" aria-pressed="{_yes(not look.board)}">{all_}</button>'
    )
    listed = [_board(history, one, look, place) for place, one in enumerate(boards[:_MOST_BOARDS])]
    more = ""
    if len(boards) > _MOST_BOARDS:
        told = said("{count} more: search for them", count=len(boards) - _MOST_BOARDS)
        more = f'<span class="more">{escaped(told)}</span>'
    return (
        f'<nav class="boards" aria-label="{name}"><div class="by" role="group" aria-label="{name}">{by}</div>'
        f'<div class="strip">{every}{"".join(listed)}{more}</div></nav>'
    )


def _board(history: History, board: Board, look: Look, place: int) -> str:
    cover = history.find(board.cover) if place < _COVERS else None
    seen = f'<img loading="lazy" decoding="async" src="{small_url(cover)}" alt="">' if cover is not None else ""
    name = board.name or said("without a word")
    return (
        f'<button type="button" data-act="board" data-board="{escaped(board.key)}" '
        f'aria-pressed="{_yes(look.board == board.key)}">{seen}<span>{escaped(name)}</span> '
        f'<span class="count">{board.count}</span></button>'
    )


def _tools(look: Look, count: int) -> str:
    one, some = escaped(said("1 chosen")), escaped(said("{count} chosen", count="{}"))
    chosen = f'<span class="chosen" data-one="{one}" data-some="{some}" aria-live="polite"></span>'
    tools = [button("all", said("Choose all here")), button("none", said("Choose none"), looks="for-some")]
    if look.binned:
        tools += [button("restore", said("Restore"), looks="for-some"), button("empty", said("Empty the bin"))]
    else:
        tools += [
            button(
                "favourites", said("Favourite"), about=said("Mark the chosen pictures as favourites"), looks="for-some"
            ),
            button("compare", said("Compare two"), looks="for-two"),
            button("uncompare", said("Close the comparison"), looks="uncompare"),
            button("zip", said("Zip"), about=said("Download the chosen pictures as a zip, or all that were found")),
            button(
                "project",
                said("Save a project"),
                about=said("Save the chosen pictures as a project, or all that were found"),
            ),
            button("import", said("Open a project"), about=said("Open a project, or recall a picture from its file")),
            button("delete", said("Delete"), about=said("Put the chosen pictures into the bin"), looks="for-some stop"),
        ]
    return (
        f'<div class="tools"><span class="found">{escaped(pictures_told(count))}</span>{chosen}{"".join(tools)}</div>'
    )


def _tiles(entries: Sequence[Entry], titles: Mapping[str, str]) -> str:
    return f'<ul class="tiles" role="list">{"".join(_tile(one, titles) for one in entries)}</ul>'


def _tile(entry: Entry, titles: Mapping[str, str]) -> str:
    label, choose = escaped(label_of(entry, titles)), escaped(said("Choose"))
    star = (
        f'<button type="button" class="star" data-act="favourite" tabindex="-1" '
        f'aria-pressed="{_yes(entry.is_favourite)}" aria-label="{escaped(said("Favourite"))}: {label}">★</button>'
    )
    return (
        f'<li data-id="{entry.id}"><button type="button" class="picture" data-act="open" aria-label="{label}" '
        f'title="{label}"><img loading="lazy" decoding="async" src="{small_url(entry)}" alt=""></button>'
        f'<input type="checkbox" class="choose" tabindex="-1" aria-label="{choose}: {label}">{star}</li>'
    )


def _nothing(look: Look) -> str:
    if look.is_narrowed:
        text = escaped(said("Nothing here is like that."))
        return f'<div class="nothing"><p>{text}</p>{button("clear", said("Show everything"))}</div>'
    if look.binned:
        return f'<div class="nothing"><p>{escaped(said("The bin is empty."))}</p></div>'
    first = escaped(said("Everything that is drawn will be here."))
    then = escaped(said("Draw a picture on any tab, or drop a PNG or a project from elsewhere on the page."))
    return f'<div class="nothing"><p><strong>{first}</strong></p><p>{then}</p></div>'


def _pages(page: int, pages: int, count: int) -> str:
    if pages == 1:
        return ""
    first, last = page * ON_A_PAGE + 1, min(count, (page + 1) * ON_A_PAGE)
    newer = button("page", said("Newer"), page=str(page - 1)) if page else ""
    older = button("page", said("Older"), page=str(page + 1)) if page < pages - 1 else ""
    told = said("{first} to {last} of {count}", first=f"{first:,}", last=f"{last:,}", count=f"{count:,}")
    where = f'<span class="where">{escaped(told)}</span>'
    return f'<nav class="pages" aria-label="{escaped(said("Pages of the history"))}">{newer}{where}{older}</nav>'


def _room(history: History) -> str:
    used = f"{history.size / 1e9:.2f} GB"
    if history.most is None:
        text = said("The history has {used}; there is no limit.", used=used)
    else:
        text = said(
            "The history has {used} of {most} GB; above that the oldest that are no favourites go.",
            used=used, most=f"{history.most / 1e9:g}",
        )  # fmt: skip
    meter = ""
    if history.most:
        name = escaped(said("Room used"))
        meter = f'<meter min="0" max="{history.most}" value="{history.size}" aria-label="{name}"></meter>'
    change = button("settings", said("Change the limit"), looks="plain")
    return f'<p class="room">{meter}<span>{escaped(text)}</span> {change}</p>'


def pictures_told(count: int) -> str:
    """How many there are."""
    return said("1 picture") if count == 1 else said("{count} pictures", count=f"{count:,}")


def _yes(is_so: bool) -> str:
    return "true" if is_so else "false"
