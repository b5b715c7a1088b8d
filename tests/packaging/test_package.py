"""The wheel holds everything that the project needs, and importing it takes no more than what is used."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

import blipdiff

ROOT = Path(__file__).parents[2]
PACKAGES = ("blipdiff", "pipelines", "app")
LARGE = 2**20  # bytes: weights are packed as empty files here


def sources() -> Iterator[Path]:
    """Every file of the three packages that belongs to them."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("setuptools", minversion="77")
    copy = tmp_path_factory.mktemp("source")
    for path in [*sources(), *(Path(name) for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"))]:
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / path).stat().st_size > LARGE:
            (copy / path).touch()
        else:
            shutil.copy(ROOT / path, copy / path)
    build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    done = subprocess.run([sys.executable, "-c", build], cwd=copy, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = (copy / "dist").glob("*.whl")
    return found


def test_the_wheel_holds_every_module_and_asset_and_nothing_else(wheel: Path) -> None:
    packed = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {path.as_posix() for path in sources()}
    assert wanted - packed == set()
    assert packed - wanted == set()
    for name in (
        "blipdiff/py.typed",
        "pipelines/py.typed",
        "app/py.typed",
        "app/assets/page.css",
        "blipdiff/training/recipes/full/stage1.toml",
    ):
        assert name in packed
    assert any(name.startswith("blipdiff/assets/subjects/") for name in packed)


def test_the_wheel_is_pure_licensed_and_of_the_version_that_the_package_tells(
    wheel: Path, project: dict[str, Any]
) -> None:
    version = project["project"]["version"]
    assert blipdiff.__version__ == version
    assert wheel.name == f"blipdiff-{version}-py3-none-any.whl"
    names = ZipFile(wheel).namelist()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("licenses/NOTICE") for name in names)
    assert not any(name.startswith("tests") for name in names)


def test_the_installed_command_is_there(project: dict[str, Any]) -> None:
    module, _, function = project["project"]["scripts"]["blipdiff"].partition(":")
    assert callable(getattr(import_module(module), function))


SCRIPT = """
import blipdiff
from blipdiff import SubjectPhoto, load_model
from PIL import Image
from pipelines import BlipDiffusionPipeline, GenerateRequest, Job, Picture, Studio, repeat, run

photo = Image.new("RGB", (8, 8))
pipeline: BlipDiffusionPipeline = BlipDiffusionPipeline.from_pretrained("mini")
pictures = pipeline(prompt=["on a beach"], reference_image=photo, negative_prompt=["snow"])
studio = Studio(load_model("mini"))
job = Job.of(GenerateRequest(category="dog", seed=7), subject=[SubjectPhoto(photo, "dog"), "my_dog.png"])
for event in run(studio, repeat("dog-7.png") if job.index else job, preview_every=5):
    print(event, blipdiff.__version__)


def seed_of(picture: Picture) -> int:
    return picture.seed
"""
UNTYPED = "torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy", "huggingface_hub", "PIL"


def checked(script: str, wheel: Path, place: Path) -> str:
    """What mypy says, at its strictest, of a user's script beside the installed wheel; libraries are left out."""
    installed = place / "site"
    with ZipFile(wheel) as packed:
        packed.extractall(installed, [name for name in packed.namelist() if name.endswith((".py", "py.typed"))])
    skipped = "".join(f"[mypy-{name}.*]\nfollow_imports = skip\n" for name in UNTYPED)
    (place / "mypy.ini").write_text(f"[mypy]\nstrict = true\n{skipped}")
    (place / "script.py").write_text(script)
    asked = [sys.executable, "-m", "mypy", "--cache-dir", place / "cache", "script.py"]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    return subprocess.run(asked, cwd=place, env=environment, check=False, capture_output=True, text=True).stdout


def test_a_users_script_passes_the_strictest_type_check(wheel: Path, tmp_path: Path) -> None:
    said = checked(SCRIPT + "picture_seed: str = seed_of\n", wheel, tmp_path)
    assert said.splitlines()[1:] == ["Found 1 error in 1 file (checked 1 source file)"], said
    assert said.startswith("script.py:18: error: Incompatible types"), said


def imported_packages(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_only_the_applications_know_gradio_and_typer() -> None:
    forbidden = {"gradio", "typer", "click", "fastapi", "app"}
    for package in ("blipdiff", "pipelines"):
        for path in (ROOT / package).rglob("*.py"):
            assert imported_packages(path) & forbidden == set(), path
    assert any("gradio" in imported_packages(path) for path in (ROOT / "app").rglob("*.py"))


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint('\\n' + ' '.join(sys.modules))"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_packages_imports_no_library() -> None:
    heavy = {"torch", "diffusers", "transformers", "gradio", "typer", "numpy", "PIL"}
    assert modules_after("import blipdiff, pipelines, app") & heavy == set()


def test_help_is_there_without_diffusers_transformers_and_gradio() -> None:
    ask = "from app.cli.main import run_blipdiff\nsys.argv = ['blipdiff', '{}', '--help']\nrun_blipdiff()"
    heavy = {"diffusers", "transformers", "accelerate", "gradio", "cv2", "peft"}
    for command in ("generate", "ui"):
        found = modules_after(ask.format(command))
        assert "app.cli.main" in found
        assert found & heavy == set()


def test_extras_that_name_each_other_and_those_of_messages_exist(project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    for name, needed in extras.items():
        for one in needed:
            for other in (re.match(r"blipdiff\[([\w,-]+)\]", one) or [None, ""])[1].split(","):
                assert other in ("", *extras), f"{name} asks for the extra {other}"
    told = "".join(
        path.read_text() for part in ("app", "blipdiff", "pipelines") for path in (ROOT / part).rglob("*.py")
    )
    for names in re.findall(r"blipdiff\[([\w,-]+)\]", told):
        assert set(names.split(",")) <= set(extras), names
