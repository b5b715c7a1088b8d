"""reference/commands.md: every command with its options, from what `blipdiff --help` is made of."""

import re
from collections.abc import Iterator
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from app.cli.commands import declared, listed

HEAD = """# Commands

Made from the commands themselves when this site is built; `blipdiff COMMAND --help` says the same for the installed
version. What a default means that is told in words depends on the machine or the model.
"""
MARKS = str.maketrans(
    {"\\": "\\\\", "|": "\\|", "<": "&lt;", ">": "&gt;", "[": "\\[", "*": "\\*", "_": "\\_", "{": "&#123;"}
)

UNMARKED = "\\["  # a bracket that is no colour on the terminal


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the page."""
    files.append(File.generated(config, "reference/commands.md", content=command_page()))
    return files


def command_page() -> str:
    """All commands under the headings of `blipdiff --help`."""
    commands = listed()
    lines = [HEAD]
    for panel in dict.fromkeys(panel for _, _, panel in commands):
        lines.append(f"## {panel}\n")
        for name, _, shown in commands:
            if shown == panel:
                lines += _told(f"blipdiff {name}", declared(name), 3)
    return "\n".join(lines)


def _told(call: str, command: Any, level: int) -> Iterator[str]:
    """A command's section; those of its own commands follow."""
    context = typer.Context(command, info_name=call)
    yield f"{'#' * level} {call}\n"
    yield from _help(command.help or "")
    yield f"```text\n{call} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    yield from _options(command, context)
    for name, inner in getattr(command, "commands", {}).items():
        yield from _told(f"{call} {name}", inner, level + 1)


def _help(text: str) -> Iterator[str]:
    for part in re.split(r"\n\s*\n", text.strip().replace("\b", "")):
        lines = [line.strip() for line in part.strip().splitlines()]
        yield (
            f"```sh\n{part.strip()}\n```\n" if part.startswith("blipdiff ") else " ".join(lines).translate(MARKS) + "\n"
        )


def _options(command: Any, context: Any) -> Iterator[str]:
    panel = None
    for param in command.params:
        record = param.get_help_record(context)
        if record is None:
            continue
        shown = getattr(param, "rich_help_panel", None)
        if shown != panel or panel is None:
            yield f"\n| {shown or 'Given'} | |\n|---|---|"
            panel = shown or "Given"
        name, text = record
        yield f"| `{name.replace('|', '/')}` | {text.replace(UNMARKED, '[').translate(MARKS)} |"
    yield ""
