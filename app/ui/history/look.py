"""What a visit looks at in the history, as its browser says it with every click."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeAlias

from app.jobs.entries import Entry
from app.jobs.history import History, Search
from app.jobs.tickets import LOCAL
from blipdiff.errors import BlipdiffError

By: TypeAlias = Literal["day", "subject"]

ON_A_PAGE = 96  # pictures: full rows of 2, 3, 4, 6 and 8
_LONGEST = 500  # letters
_MOST_CHOSEN = 20_000


@dataclass(frozen=True, slots=True)
class Look:
    """The boards, the filters and the page that are seen; empty stands for all."""

    by: str = "day"
    board: str = ""
    words: str = ""
    task: str = ""
    model: str = ""
    favourites: bool = False
    binned: bool = False
    page: int = 0

    @classmethod
    def of(cls, told: Any) -> "Look":
        """What a browser tells; what it cannot have shown counts as not told."""
        given = told if isinstance(told, Mapping) else {}
        found: dict[str, Any] = {}
        for item in fields(cls):
            value: Any = given.get(item.name)
            if type(value) is type(item.default) and (not isinstance(value, str) or len(value) <= _LONGEST):
                found[item.name] = value
        look = cls(**found)
        is_known = look.by in ("day", "subject") and 0 <= look.page < 10**6
        return look if is_known else cls()

    @property
    def told(self) -> dict[str, Any]:
        """What the browser keeps of it."""
        return asdict(self)

    @property
    def is_narrowed(self) -> bool:
        """Whether anything is left out that the history, or its bin, has."""
        return bool(self.board or self.words.strip() or self.task or self.model or self.favourites)

    def search(self, *, within_board: bool = True) -> Search:
        """What is looked for. The page shows what was asked for without a token; others' pictures are their own."""
        board = self.board if within_board else ""
        return Search(
            words=self.words,
            subject=board or None if self.by == "subject" else None,
            task=self.task or None,
            model=self.model or None,
            day=board or None if self.by == "day" else None,
            owner=LOCAL,
            favourites=self.favourites,
            binned=self.binned,
        )


def entry_of(history: History, name: Any) -> Entry | None:
    """A picture that the page may show; None for any other."""
    try:
        entry = history.entry(name) if isinstance(name, str) else None
    except BlipdiffError:
        return None
    return entry if entry is not None and entry.owner == LOCAL else None


def entries_of(history: History, names: Any) -> list[Entry]:
    """The pictures of these names that the page may show, each once."""
    given = names if isinstance(names, list) else []
    unique = dict.fromkeys(one for one in given[:_MOST_CHOSEN] if isinstance(one, str))
    found = (entry_of(history, name) for name in unique)
    return [one for one in found if one is not None]
