"""What installs and starts blipdiff elsewhere names files, commands and options that are there."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from app.cli.commands import declared

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def unknown(command: list[str]) -> list[str]:
    """The options of a `blipdiff` command that it does not have."""
    known = {option for param in declared(command[1]).params for option in param.opts}
    return [word for word in command if word.startswith("--") and word not in known]


def test_the_images_copy_what_is_there_and_no_more_is_sent() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [shlex.split(line)[1:-1] for line in DOCKERFILE.splitlines() if line.startswith("COPY ")]
    names = {name for names in copied for name in names}
    assert names == sent
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_images_and_services_start_a_command_that_exists_behind_a_token() -> None:
    command = re.findall(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)[-1]
    assert unknown(["blipdiff", *json.loads(command)]) == []
    compose: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    targets = re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE)
    for service in compose["services"].values():
        assert service["build"]["target"] in targets
        assert service["environment"]["BLIPDIFF_TOKEN"].startswith("${BLIPDIFF_TOKEN:?")
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    unit = (ROOT / "deploy" / "blipdiff.service").read_text()
    (start,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert unknown(shlex.split(start)) == []


def entry(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    asked = [sys.executable, str(ROOT / "deploy" / "desktop_entry.py"), *options]
    environment = {**os.environ, "HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "PATH": str(home)}
    return subprocess.run(asked, env=environment, check=False, capture_output=True, text=True)


def test_the_menu_gets_an_entry_and_loses_it_again(tmp_path: Path) -> None:
    command = tmp_path / "my tools" / "blipdiff"
    done = entry(tmp_path, "--command", str(command), "--model", "my model")
    assert done.returncode == 0, done.stderr
    written = Path(done.stdout.strip())
    lines = dict(line.split("=", 1) for line in written.read_text().splitlines()[1:])
    assert shlex.split(lines["Exec"]) == [str(command), "ui", "--model", "my model"]
    assert Path(lines["Icon"]).is_file() and Path(lines["Path"]).is_dir()
    assert entry(tmp_path, "--remove").returncode == 0
    assert not written.exists() and not Path(lines["Icon"]).exists()
