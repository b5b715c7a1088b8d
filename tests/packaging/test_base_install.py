"""What draws, and the page, import nothing but what a plain `pip install blipdiff` brings."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
FOR_EXTRAS = {
    "train",
    "data",
    "evaluate",
    "dreambench",
}  # modules of app/cli/runs that say themselves which extra they need
CHECK = """
import sys
from importlib import import_module
from importlib.machinery import PathFinder

absent = set({absent!r}.split())

class Present(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Present
for name in {modules!r}.split():
    import_module(name)
"""


def brought(requirements: list[str]) -> set[str]:
    """The distributions that an installation of these requirements brings, by their plain names."""
    found: set[str] = set()
    waiting = [(Requirement(text), "") for text in requirements]
    while waiting:
        one, extra = waiting.pop()
        name = re.sub(r"[-_.]+", "-", one.name).lower()
        if one.marker is not None and not one.marker.evaluate({"extra": extra}):
            continue
        try:
            told = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        if name not in found or one.extras:
            found.add(name)
            waiting += [(Requirement(text), extra) for text in told for extra in ("", *one.extras)]
    return found


def test_commands_that_draw_and_the_page_need_no_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    plain = {re.sub(r"[-_.]+", "-", name).lower() for name in ("setuptools", "pip", "blipdiff")}
    plain |= brought(project["dependencies"])
    absent = [
        package
        for package, homes in packages_distributions().items()
        if not any(re.sub(r"[-_.]+", "-", home).lower() in plain for home in homes)
    ]
    assert {"resvg_py", "pytest", "mkdocs"} <= set(absent)
    assert {"torch", "gradio", "typer"}.isdisjoint(absent)
    runs = sorted(path.stem for path in (ROOT / "app" / "cli" / "runs").glob("*.py") if path.stem != "__init__")
    modules = [
        "app.launch",
        *(f"app.cli.runs.{name}" for name in runs if name not in FOR_EXTRAS),
        "blipdiff.control.drawn",
    ]
    code = CHECK.format(absent=" ".join(absent), modules=" ".join(modules))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
