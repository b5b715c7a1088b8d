"""The versions that are asked for, that are known to work and that are told to people agree."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.libraries.matrix import EXTRAS, constraints, lower_bounds, main, requirements, stamp

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


@pytest.fixture(scope="module")
def known() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def all_requirements(project: dict[str, Any]) -> list[Requirement]:
    extras = (one for extra in project["optional-dependencies"].values() for one in extra)
    return [Requirement(one) for one in [*project["dependencies"], *extras] if not one.startswith("blipdiff")]


def told() -> dict[str, tuple[str, str, str, str]]:
    """library -> what is asked for, then the oldest, known and newest version, in the table of docs/versions.md."""
    text = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w-]+) \| `([^`]*)` \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", text, re.MULTILINE)
    return {name: (asked, oldest, of_file, newest) for name, asked, oldest, of_file, newest in rows}


def test_the_known_versions_are_within_what_is_asked_for(project: dict[str, Any], known: dict[str, Version]) -> None:
    for one in all_requirements(project):
        version = known.get(canonicalize_name(one.name))
        assert version is None or one.specifier.contains(version), (one, version)


def test_every_dependency_has_a_lower_bound_and_a_known_version(
    project: dict[str, Any], known: dict[str, Version]
) -> None:
    for one in (Requirement(text) for text in project["dependencies"]):
        assert any(part.operator == ">=" for part in one.specifier), one
        assert canonicalize_name(one.name) in known, one


def test_the_table_tells_what_is_asked_for_and_what_was_tested(
    project: dict[str, Any], known: dict[str, Version]
) -> None:
    table = told()
    asked = [Requirement(text) for text in project["dependencies"]]
    extras = project["optional-dependencies"]
    peft = next(one for one in extras["lora"] if one.startswith("peft"))
    for one in [*asked, Requirement(peft), Requirement(extras["openvino"][0])]:
        name = one.name
        wanted, oldest, of_file, newest = table.pop(name)
        assert Requirement(name + wanted.replace(" ", "")).specifier == one.specifier, name
        assert oldest == lower_bounds([str(one)])[name], name
        assert Version(of_file) == known[canonicalize_name(name)], name
        assert one.specifier.contains(newest), name
        assert Version(oldest) <= Version(of_file) <= Version(newest), name
    assert table == {}


def test_the_readme_tells_the_bounds_of_the_three_libraries(project: dict[str, Any]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for text in project["dependencies"]:
        one = Requirement(text)
        if one.name in ("torch", "diffusers", "transformers"):
            lower = lower_bounds([text])[one.name]
            assert re.search(rf"\b{one.name} {re.escape(lower)}\b", readme), one
    assert project["requires-python"].removeprefix(">=") in readme


def test_the_matrix_installs_the_lower_bounds(project: dict[str, Any]) -> None:
    bounds = lower_bounds(["torch>=2.6", "diffusers>=0.35.1,<1", "xformers>=0.0.35; platform_system != 'Darwin'", "x"])
    assert bounds == {"torch": "2.6", "diffusers": "0.35.1", "xformers": "0.0.35"}
    assert {name for name, _ in (line.split("==") for line in constraints("oldest").splitlines())} == {
        Requirement(one).name for one in requirements()
    }
    assert constraints("newest") == ""
    assert set(EXTRAS) <= set(project["optional-dependencies"])


def test_an_environment_is_kept_for_as_long_as_it_is_the_same() -> None:
    stamps = {
        stamp(which, python) for which in ("oldest", "known", "newest") for python in ("python3.11", "python3.12")
    }
    assert len(stamps) == 6
    assert stamp("oldest", "python3.11") in stamps
    with pytest.raises(SystemExit):
        main(["middle"])
