"""The command `blipdiff`: its commands, and what a person sees when something goes wrong."""

import sys
from dataclasses import replace

import click
import typer

from app.cli import convert, doctor, encode, evaluate, generate, train, ui
from app.settings import read_settings, silence_libraries
from blipdiff.errors import BlipdiffError

CALLER_ERROR = 2  # what was asked for cannot be done
STOPPED = 130  # Ctrl-C, as shells say it

app = typer.Typer(
    name="blipdiff",
    help="Pictures of your subject: in new scenes, from one photo, without training.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (generate, encode, convert, train, evaluate, doctor, ui):
    module.add_to(app)


def run_blipdiff() -> int:
    """Runs the command line and gives its exit code: 0, 2 for what the caller can mend, 130 when stopped."""
    try:
        settings = read_settings()
        silence_libraries(replace(settings, download=settings.download or "--download" in sys.argv))
        result = app(standalone_mode=False)
    except click.exceptions.Exit as ended:
        return int(ended.exit_code)
    except click.Abort:
        return _said("Stopped.", STOPPED)
    except click.ClickException as error:
        error.show()
        return CALLER_ERROR
    except KeyboardInterrupt:
        return _said("Stopped; what was finished is kept.", STOPPED)
    except BlipdiffError as error:
        return _said(str(error), CALLER_ERROR)
    except MemoryError:
        return _said("There is too little memory for this; try a smaller --batch, --size or --dtype.", CALLER_ERROR)
    except BrokenPipeError:
        return 0
    return int(result or 0)


def _said(sentence: str, code: int) -> int:
    print(f"blipdiff: {sentence}", file=sys.stderr)
    return code
