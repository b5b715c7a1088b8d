"""Words of a command that stand alone: what they were probably meant as, which the parser cannot know."""

from pathlib import Path
from typing import Any

from typer.core import TyperCommand

from app.cli.draw import GIVEN, input_flags
from app.plain import plain
from pipelines.task import Task

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".heic", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".safetensors")


def strict_command(task: Task) -> type[TyperCommand]:
    """The kind of a task's command, which names the option that a file standing alone was meant for."""
    flags = [flag for name, flag in input_flags(task).items() if name.startswith(GIVEN)]

    class Strict(TyperCommand):
        """Takes options alone."""

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            """Passes for options alone; ends with what the first other word was probably meant as."""
            ctx.allow_extra_args = True
            left = super().parse_args(ctx, args)
            if left:
                ctx.fail(_meant(left[0], flags[0] if flags else ""))
            return left

    return Strict


def _meant(word: str, flag: str) -> str:
    shown = plain(word)
    if flag and (word.startswith("@") or Path(word).suffix.lower() in _PICTURES):
        return f"{shown} stands alone; write it behind its option: {flag} {shown}."
    return f'{shown!r} stands alone, behind no option; a text of several words stands in quotes: --prompt "on a beach".'
