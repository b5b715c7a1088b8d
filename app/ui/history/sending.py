"""Where on the page a picture can be sent, and as what: told by the tabs themselves."""

from dataclasses import dataclass

from app.ui.room import Kind, Room


@dataclass(frozen=True, slots=True)
class Goal:
    """A tab that takes a picture in one of its fields.

    group: what it is there - the picture that is worked on, a subject, or a structure
    """

    tab: str
    title: str
    kind: Kind
    group: str


def goals(room: Room) -> list[Goal]:
    """All of them, in the order of the tabs."""
    found = []
    for name, part in room.tabs.items():
        takes, fields = part.takes, list[object]()
        groups: tuple[tuple[Kind, str], ...] = (
            ("subject", "subject"), ("structure", "structure"), ("picture", "picture"),
        )  # fmt: skip
        for kind, group in groups:
            if kind in takes and not any(takes[kind] is one for one in fields):
                fields.append(takes[kind])
                found.append(Goal(name, part.title, kind, group))
    return found


def goal_of(room: Room, kind: object, tab: object) -> Goal | None:
    """The one that a browser names; None where there is none."""
    return next((one for one in goals(room) if (one.kind, one.tab) == (kind, tab)), None)
