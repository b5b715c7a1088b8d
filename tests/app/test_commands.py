"""The list of commands is short, true, and there at once."""

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from app.cli.commands import COMMANDS, declared, listed
from app.cli.main import _defaults
from app.settings import Settings
from pipelines.parameters import parameters
from pipelines.task import tasks
from tests.support.command_line import Command

pytest_plugins = ["tests.support.command_fixtures"]

ROOT = Path(__file__).parents[2]
NAMES = [name for name, _summary, _panel in listed()]


OFFERED = {name: one for name, one in tasks().items() if one.is_offered}


@pytest.mark.parametrize("name", NAMES)
def test_every_listed_command_is_declared_by_its_module_with_panels(name: str) -> None:
    command = declared(name)
    assert command.name == name
    assert command.help
    assert next(summary for one, summary, _panel in listed() if one == name).endswith(".")
    if len(command.params) > 12:
        assert len({param.rich_help_panel for param in command.params}) > 2


@pytest.mark.parametrize("name", NAMES)
def test_panels_stand_in_one_order_with_what_is_asked_for_first(name: str) -> None:
    panels = list(dict.fromkeys(getattr(param, "rich_help_panel", None) for param in declared(name).params))
    common = ["Subject", "Words", "Pictures", "Structures", "Sampling", "Model and machine", "Output"]
    assert [panel for panel in panels if panel in common] == [panel for panel in common if panel in panels]


@pytest.mark.parametrize("name", [name for name, one in OFFERED.items() if "seed" in parameters(one.request)])
def test_help_says_that_an_absent_seed_is_a_random_one(name: str) -> None:
    (seed,) = (param for param in declared(name).params if param.name == "seed")
    assert "a random one" in str(seed.show_default)


@pytest.mark.parametrize(
    ("name", "said"), [("stylize", "first structure"), ("edit", "a photo's shape"), ("preprocess", "picture's own")]
)
def test_help_says_what_size_a_picture_has_that_none_was_asked_for(name: str, said: str) -> None:
    (size,) = (param for param in declared(name).params if param.name == "size")
    assert said in size.help


def test_modules_declare_no_command_that_is_not_listed() -> None:
    part = typer.Typer()
    for module in {one.module for one in COMMANDS.values()}:
        import_module(f"app.cli.{module}").add_to(part)
    assert set(typer.main.get_group(part).commands) == set(COMMANDS)
    assert not set(COMMANDS) & set(OFFERED)


def test_what_runs_a_command_takes_all_that_is_declared() -> None:
    checked = 0
    for module in {one.module for one in COMMANDS.values()}:
        for command in vars(import_module(f"app.cli.{module}")).values():
            if hasattr(command, "module"):
                runs = getattr(import_module(command.module), command.__name__)
                inspect.signature(runs).bind(**inspect.signature(command).parameters)
                checked += 1
    assert checked > len(COMMANDS)


def test_help_of_every_command_needs_no_torch() -> None:
    code = (
        "import sys\nfrom app.cli.commands import declared\nfrom app.cli.main import run_blipdiff\n"
        f"for name in {NAMES}:\n    sys.argv = ['blipdiff', name, '--help']\n    assert run_blipdiff() == 0\n"
        "    assert not {'torch', 'numpy', 'PIL', 'gradio'} & set(sys.modules), name"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_and_version_need_no_torch() -> None:
    for asked in ("--help", "--version"):
        code = (
            f"import sys\nfrom app.cli.main import run_blipdiff\nimport pipelines.parameters\nsys.argv = ['blipdiff', "
            f"'{asked}']\nassert run_blipdiff() == 0\nassert not {{'torch', 'numpy', 'PIL'}} & set(sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "blipdiff" in done.stdout or "generate" in done.stdout


def test_an_unknown_command_is_refused_and_the_nearest_named(blipdiff: Command) -> None:
    ended = blipdiff("genrate")
    assert ended.code == 2
    assert "generate" in ended.err


def test_whatever_fetches_is_told_that_the_environment_asks_for_it() -> None:
    told = _defaults(Settings(download=True))
    takes = {name: command for name in NAMES for command in [declared(name)]}
    groups = {(name, part): one for name in NAMES for part, one in getattr(takes[name], "commands", {}).items()}
    fetching = [(name,) for name, one in takes.items() if "download" in {param.name for param in one.params}]
    fetching += [names for names, one in groups.items() if "download" in {param.name for param in one.params}]
    assert ("schedule",) in fetching
    assert ("data", "prepare") in fetching
    for names in fetching:
        found: Any = told
        for name in names:
            found = found.get(name, {})
        assert found.get("download") is True, names
