"""The command `blipdiff`: its commands, and what a person sees when something goes wrong."""

import errno
import sys
import warnings
from dataclasses import replace
from typing import Annotated, Any

import typer

from app.cli.commands import LazyCommands
from app.cli.terminal import say, tell_of_bug, tell_of_warning, warn
from app.gradio_stubs import leave_out_stubs
from app.settings import Settings, read_settings, silence_libraries, take_large_pages
from blipdiff import __version__
from blipdiff.errors import BlipdiffError, is_out_of_memory
from pipelines.task import tasks

CALLER_ERROR = 2  # what was asked for cannot be done
STOPPED = 130  # Ctrl-C, as shells say it

_EXTRAS = {"resvg_py": "train"}  # packages that only some commands need
_TOO_LITTLE = "There is too little memory for this; try a smaller --batch, --size or --dtype."
_DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EFBIG: "the file is larger than allowed",
}

app = typer.Typer(
    name="blipdiff",
    cls=LazyCommands,
    no_args_is_help=True,
    invoke_without_command=True,  # for --version
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def blipdiff(
    version: Annotated[bool, typer.Option("--version", help="Say which version this is.", is_eager=True)] = False,
) -> None:
    """Pictures of your subject: in new scenes, from one photo, without training."""
    if version:
        say(f"blipdiff {__version__}")
        raise typer.Exit


def run_blipdiff() -> int:
    """Runs the command line and gives its exit code: 0, 2 for what the caller can mend, 130 when stopped."""
    sys.excepthook = tell_of_bug
    with warnings.catch_warnings():
        warnings.showwarning = tell_of_warning  # type: ignore[assignment]
        return _run()


def _run() -> int:
    try:
        settings = read_settings()
        silence_libraries(replace(settings, download=settings.download or "--download" in sys.argv))
        take_large_pages()
        leave_out_stubs()
        app(default_map=_defaults(settings))
    except SystemExit as ended:  # how typer ends, in every version; it has told of what could not be parsed
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        return _said("Stopped; what was finished is kept.", STOPPED) if code == STOPPED else code
    except KeyboardInterrupt:
        return _said("Stopped; what was finished is kept.", STOPPED)
    except BlipdiffError as error:
        return _said(_TOO_LITTLE if is_out_of_memory(error) else str(error), CALLER_ERROR)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        return _said(f"This needs {error.name}: pip install 'blipdiff[{_EXTRAS[error.name]}]'.", CALLER_ERROR)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _said(_TOO_LITTLE, CALLER_ERROR)
    except BrokenPipeError:
        return 0
    except OSError as error:
        if error.errno not in _DISK:
            raise
        return _said(f"{error.filename or 'A file'} cannot be written: {_DISK[error.errno]}.", CALLER_ERROR)
    return 0


def _defaults(settings: Settings) -> dict[str, dict[str, Any]]:
    """What the environment asks for, as each command's defaults; an option that is given wins."""
    drawing = {"model": settings.model, "engine": settings.engine, "download": settings.download}
    return {
        **{name: {**drawing, "output": settings.output} for name in tasks()},
        "grid": {name: {**drawing, "output": settings.output} for name in tasks()},
        "preprocess": {"download": settings.download},
        "ask": {"download": settings.download},
        "describe": {"download": settings.download},
        "matrix": drawing,
        "evaluate-structure": {"model": settings.model},
        "encode": drawing,
        "personalize": drawing,
        "subjects": {"add": drawing},
        "convert": {"download": settings.download},
        **{name: {"download": settings.download} for name in ("merge", "cut-out", "schedule", "quantize")},
        "evaluate": {"model": settings.model, "dreambench": drawing},
        "train-control": {"model": settings.model},
        "evaluate-edits": {"model": settings.model},
        "evaluate-inversion": {"model": settings.model},
        "evaluate-blending": {"model": settings.model},
        "batch": drawing,
        "data": {"prepare": {"download": settings.download}},
        "serve": {"engine": settings.engine, "download": settings.download},
        "ui": {**drawing, "auth": settings.auth, "token": settings.token},
    }


def _said(sentence: str, code: int) -> int:
    warn(f"blipdiff: {sentence}")
    return code
