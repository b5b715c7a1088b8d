"""`blipdiff grid TASK`: a task's pictures under all values of one or two of its parameters."""

import typer

from app.cli.draw import command_of
from app.cli.options import keyword
from app.cli.stray import strict_command
from pipelines.task import tasks

X, Y = "grid_x", "grid_y"
_PANEL = "Grid"


def add_to(app: typer.Typer) -> None:
    """Adds a command for each task."""
    grid = typer.Typer(
        name="grid", help="Draw under all values of one or two parameters, and one sheet of all.", no_args_is_help=True
    )
    axes = (
        keyword(X, str, "--x", "What goes across: steps=8,12,20; texts are divided by |.", _PANEL, ""),
        keyword(Y, str, "--y", "What goes down: guidance=2,3,5.", _PANEL, ""),
    )
    for task in tasks().values():
        if task.is_offered:
            about = f"{task.summary} Under all values of --x and --y."
            grid.command(task.name, cls=strict_command(task), help=about)(
                command_of(task, run="app.cli.runs.grid", more=axes)
            )
    app.add_typer(grid)
