"""The options of commands that a Ray cluster can do: where it is, and how many work there."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from app.cli.panels import MACHINE

_RAY, _LOCAL = "--ray", "local"
_NAMES = (_LOCAL, "auto")

Ray = Annotated[
    str | None,
    typer.Option(
        _RAY,
        metavar="[HOST:PORT]",
        help="Work on all devices of a Ray cluster: of this machine, or where HOST:PORT or auto says.",
        rich_help_panel=MACHINE,
    ),
]
Workers = Annotated[
    str | None,
    typer.Option(
        "--workers",
        metavar="LEAST:MOST",
        help="With --ray, how many work at the same time; as many as there are GPUs.",
        rich_help_panel=MACHINE,
    ),
]


Replicas = Annotated[
    str | None,
    typer.Option(
        "--replicas",
        metavar="MIN:MAX",
        help="How many replicas --ray keeps, and how many it may start; or one number for both. The least may be 0.",
        show_default="one for each device, one of them kept",
        rich_help_panel=MACHINE,
    ),
]


class ClusterCommand(TyperCommand):
    """A command whose --ray may stand alone."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As any command, a cluster of this machine put behind a --ray that names none."""
        takes_words = any(one.param_type_name == "argument" for one in self.params)
        return super().parse_args(ctx, with_place(args, takes_words=takes_words))


class ClusterGroup(TyperGroup):
    """The same of a command that has commands of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As any group, a cluster of this machine put behind a --ray that names none."""
        return super().parse_args(ctx, with_place(args, takes_words=True))


def with_place(args: Sequence[str], *, takes_words: bool) -> list[str]:
    """The words of a command, each --ray followed by where the cluster is.

    takes_words: whether a word behind --ray may be the command's own, and is a place only where it looks like one
    """
    found = list[str]()
    for place, word in enumerate(args):
        found.append(word)
        following = args[place + 1] if place + 1 < len(args) else ""
        is_place = _is_place(following) if takes_words else bool(following) and not following.startswith("-")
        if word == _RAY and not is_place:
            found.append(_LOCAL)
    return found


def _is_place(word: str) -> bool:
    host, sign, port = word.rpartition(":")
    return word in _NAMES or (bool(sign and host) and port.isdecimal()) or "://" in word
