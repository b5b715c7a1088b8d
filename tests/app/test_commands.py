"""The list of commands is short, true, and there at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.commands import COMMANDS, declared
from tests.pipelines.command_line import Command

pytest_plugins = ["tests.pipelines.command_fixtures"]

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_is_declared_by_its_module_with_panels(name: str) -> None:
    command = declared(name)
    assert command.name == name
    assert command.help
    assert COMMANDS[name].summary.endswith(".")
    if len(command.params) > 12:
        assert len({param.rich_help_panel for param in command.params}) > 2


def test_modules_declare_no_command_that_is_not_listed() -> None:
    import typer

    from app.cli import attend, matrix, stylize

    part = typer.Typer()
    for module in (attend, matrix, stylize):
        module.add_to(part)
    assert set(typer.main.get_group(part).commands) <= set(COMMANDS)


def test_help_and_version_need_no_torch() -> None:
    for asked in ("--help", "--version"):
        code = (
            f"import sys\nfrom app.cli.main import run_blipdiff\nimport pipelines.requests\nsys.argv = ['blipdiff', "
            f"'{asked}']\nassert run_blipdiff() == 0\nassert not {{'torch', 'numpy', 'PIL'}} & set(sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "blipdiff" in done.stdout or "generate" in done.stdout


def test_an_unknown_command_is_refused_and_the_nearest_named(blipdiff: Command) -> None:
    ended = blipdiff("genrate")
    assert ended.code == 2
    assert "generate" in ended.err
