"""`make matrix`: the tests that meet the libraries, with their oldest, their known and their newest versions.

`python tests/libraries/matrix.py oldest` makes `.matrix/oldest` (kept while its requirements stay the same) and runs
the tests in it. What is oldest is read from pyproject.toml: the lower bound of each requirement.
"""

import argparse
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".matrix"
EXTRAS = ("lora", "heif", "video", "train", "eval", "openvino")
TOOLS = ("pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "openai", "webuiapi")
SUITE = (
    "tests/parity",
    "tests/checkpoints",
    "tests/libraries",
    "tests/attention",
    "tests/conditioning",
    "tests/control",
    "tests/sampling",
    "tests/pipelines",
    "tests/training",
    "tests/app",
    "tests/api",
    "tests/jobs",
)


def requirements() -> list[str]:
    """What the package asks for, with the extras that the tests use."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(one for extra in EXTRAS for one in extras[extra])]
    return [one for one in dict.fromkeys(asked) if not one.startswith("blipdiff")]


def lower_bounds(asked: Sequence[str]) -> dict[str, str]:
    """name -> the oldest version that is asked for, as pyproject.toml writes it."""
    bounds = {}
    for one in asked:
        name, lowest = re.match(r"[\w-]+", one), re.search(r">=\s*([\w.]+)", one.partition(";")[0])
        if name and lowest:
            bounds[name[0]] = lowest[1]
    return bounds


def constraints(which: str) -> str:
    """The text of the constraint file of one environment; the newest has none."""
    if which == "oldest":
        return "".join(f"{name}=={version}\n" for name, version in lower_bounds(requirements()).items())
    return (ROOT / "constraints.txt").read_text(encoding="utf-8") if which == "known" else ""


def stamp(which: str, python: str) -> str:
    """What an environment was made of: another text, another environment. What is newest is asked anew each day."""
    day = datetime.now(UTC).date().isoformat() if which == "newest" else ""
    text = "\n".join([python, *requirements(), *TOOLS, constraints(which), day])
    return sha256(text.encode()).hexdigest()


def environment(which: str, python: str) -> Path:
    """The Python of one environment, installed if it is not there as it should be."""
    folder = HOME / (which if python == sys.executable else f"{which}-{Path(python).name}")
    own, mark = folder / "bin" / "python", folder / "stamp"
    wanted = stamp(which, python)
    if mark.is_file() and mark.read_text() == wanted:
        return own
    mark.unlink(missing_ok=True)
    if not own.exists():
        subprocess.run([python, "-m", "venv", folder], check=True)
    file = folder / "constraints.txt"
    file.write_text(constraints(which))
    asked = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint", file]
    if which == "newest":
        asked += ["--upgrade", "--upgrade-strategy", "eager"]
    subprocess.run([*asked, *requirements(), *TOOLS], check=True)
    mark.write_text(wanted)
    return own


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the environment, says what is in it, runs the tests; the exit code is pytest's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=("oldest", "known", "newest"))
    parser.add_argument("--python", default=sys.executable, help="the interpreter; this one by default")
    parser.add_argument("pytest", nargs="*", help="what pytest gets instead of the whole suite (after --)")
    given = parser.parse_args(arguments)
    python = environment(given.which, given.python)
    names = [*lower_bounds(requirements()), "tokenizers", "fastapi", "starlette"]
    say = f"from importlib.metadata import version as v; print(*(f'{{n}}=={{v(n)}}' for n in {names!r}))"
    subprocess.run([python, "-c", say], check=True)
    calm = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    asked = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(given.pytest or SUITE)]
    return subprocess.run(["nice", *asked], cwd=ROOT, env=calm, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
