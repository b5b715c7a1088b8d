"""Options of the commands that draw on a cluster of Ray."""

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from app.cli.panels import MACHINE
from app.cluster.joining import HERE

Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="Draw on replicas of a Ray cluster, at HOST:PORT of its head; without an address on one that is started "
        "on this machine.",
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


class WithRay(TyperCommand):
    """A command whose --ray may stand without an address."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As every command, with this machine where --ray says no other."""
        return super().parse_args(ctx, with_address(args))


def with_address(args: list[str]) -> list[str]:
    """The words of a command, each --ray with an address."""
    found: list[str] = []
    for number, word in enumerate(args):
        found.append(word)
        if word == "--ray" and (number + 1 == len(args) or args[number + 1].startswith("-")):
            found.append(HERE)
    return found
