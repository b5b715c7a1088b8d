"""Whatever of the page, the queue and the interface imports libraries late waits for the thread that imports them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for part in ("jobs", "doors", "api", "ui") for path in (ROOT / "app" / part).rglob("*.py"))
LIBRARIES = {"blipdiff", "pipelines", "torch", "diffusers", "transformers"}


def late_imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Functions that import libraries, and whether they load them before."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = [ast.unparse(line) for line in function.body]
            late = [number for number, line in enumerate(function.body) if LIBRARIES & roots(line)]
            if late:
                yield function.name, "load_libraries()" in lines[: late[0]]


def roots(line: ast.stmt) -> set[str]:
    if isinstance(line, ast.ImportFrom):
        return {(line.module or "").split(".")[0]}
    return {alias.name.split(".")[0] for alias in line.names} if isinstance(line, ast.Import) else set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_late_imports_load_the_libraries_first(path: Path) -> None:
    found = list(late_imports(ast.parse(path.read_text(encoding="utf-8"))))
    assert [name for name, is_safe in found if not is_safe] == []


def check_run(code: str) -> None:
    """Passes where a fresh Python runs the code to its end."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_rule_finds_a_late_import() -> None:
    bad = "def opened():\n    from pipelines.studio import Studio\n    return Studio"
    good = "def opened():\n    load_libraries()\n    import torch\n    return torch"
    assert list(late_imports(ast.parse(bad))) == [("opened", False)]
    assert list(late_imports(ast.parse(good))) == [("opened", True)]


def test_many_threads_may_be_the_first_to_need_the_libraries() -> None:
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from app.libraries import load_libraries\n"
        "def need(number):\n"
        "    load_libraries()\n"
        "    from pipelines.studio import Studio\n"
        "    return Studio.__name__\n"
        "with ThreadPoolExecutor(4) as threads:\n"
        "    assert set(threads.map(need, range(4))) == {'Studio'}\n"
    )
    check_run(code)


def test_libraries_are_imported_without_looking_for_garbage_and_left_out_of_later_looks() -> None:
    code = (
        "import gc, importlib.metadata, sys\n"
        "real, asked, looks = importlib.metadata.packages_distributions, [], []\n"
        "def listed():\n"
        "    asked.append(1)\n"
        "    return real()\n"
        "importlib.metadata.packages_distributions = listed\n"
        "from app.libraries import load_libraries, quick_imports\n"
        "gc.callbacks.append(lambda phase, _about: looks.append(phase))\n"
        "load_libraries()\n"
        "assert 'diffusers' in sys.modules and 'transformers' in sys.modules\n"
        "assert asked == [1], asked\n"
        "assert looks == [], looks\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 100_000\n"
        "assert importlib.metadata.packages_distributions is listed\n"
        "frozen, later = gc.get_freeze_count(), [[] for _ in range(100)]\n"
        "with quick_imports():\n"
        "    assert gc.isenabled()\n"
        "assert gc.get_freeze_count() <= frozen\n"
    )
    check_run(code)


def test_an_import_that_fails_leaves_everything_as_it_was() -> None:
    code = (
        "import gc, importlib.metadata\n"
        "from app.libraries import quick_imports\n"
        "before = importlib.metadata.packages_distributions\n"
        "try:\n"
        "    with quick_imports():\n"
        "        import nowhere_to_be_found\n"
        "except ModuleNotFoundError:\n"
        "    pass\n"
        "assert gc.isenabled() and not gc.get_freeze_count()\n"
        "assert importlib.metadata.packages_distributions is before\n"
    )
    check_run(code)


def test_a_command_imports_them_so() -> None:
    code = (
        "import gc, sys\n"
        "from app.cli.main import run_blipdiff\n"
        "sys.argv = ['blipdiff', *sys.argv[1:]]\n"
        "assert run_blipdiff() == 2\n"
        "assert gc.get_freeze_count() > 100_000\n"
    )
    for command in (
        ("generate", "--subject", "no.png", "--category", "dog"),
        ("encode", "no.png", "--category", "dog"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *command, "--category", "dog"],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
