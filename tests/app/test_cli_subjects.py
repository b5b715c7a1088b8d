"""`blipdiff subjects` as a person uses it."""

from pathlib import Path

import pytest

from tests.support.command_line import Command

pytest_plugins = ["tests.support.command_fixtures"]


def test_a_subject_is_kept_found_renamed_used_and_removed(
    blipdiff: Command, model: Path, dog: Path, made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLIPDIFF_LIBRARY", str(tmp_path / "library"))
    kept = blipdiff("subjects", "add", dog, "--category", "dog", "--name", "Rex", "--model", model, "--json").answer
    assert (kept["name"], kept["category"]) == ("Rex", "dog")
    assert blipdiff("subjects", "import", made[1], "--name", "Bello").code == 0
    assert [one["name"] for one in blipdiff("subjects", "list", "dog", "--json").answer] == ["Bello", "Rex"]
    assert blipdiff("subjects", "list", "rex").out == "Rex: dog\n"
    assert blipdiff("subjects", "rename", "Rex", "Old Rex").code == 0
    short = ("--model", model, "--steps", 1, "--json")
    assert blipdiff("generate", "--subject", "@Old Rex", "--count", 1, *short).code == 0
    blended = blipdiff("blend", "--subject", "@Old Rex", "--subject", "dog=@Bello", "--frames", 2, *short)
    assert (blended.code, len(blended.answer["pictures"])) == (0, 2)
    assert blipdiff("subjects", "export", "Old Rex", tmp_path / "rex.safetensors").code == 0
    asked = blipdiff("subjects", "delete", "Bello")
    assert (asked.code, "add --yes" in asked.err) == (2, True)
    assert blipdiff("subjects", "delete", "Bello", "--yes").code == 0
    assert [one["name"] for one in blipdiff("subjects", "list", "--json").answer] == ["Old Rex"]
    assert blipdiff("subjects", "deleted").out == "Bello: dog\n"
    assert blipdiff("subjects", "restore", "Bello").code == 0
    assert [one["name"] for one in blipdiff("subjects", "list", "--json").answer] == ["Bello", "Old Rex"]
    assert blipdiff("subjects", "delete", "Bello", "--yes").code == 0
    assert (blipdiff("subjects", "empty-bin").code, blipdiff("subjects", "empty-bin", "--yes").out) == (
        2,
        "1 removed.\n",
    )
    assert blipdiff("subjects", "restore", "Bello").code == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("delete", "Tom", "--yes"), "no subject 'Tom'"),
        (("restore", "Tom"), "The bin has no subject 'Tom'"),
        (("rename", "Tom", "Rex"), "no subject 'Tom'"),
        (("import", "nothing.safetensors"), "cannot be read"),
        (("add", "nothing.png", "--category", "dog", "--name", "../x"), "cannot be called"),
    ],
)
def test_what_the_library_cannot_do_is_refused(blipdiff: Command, arguments, told: str) -> None:
    ended = blipdiff("subjects", *arguments)
    assert ended.code == 2
    assert told in ended.err
