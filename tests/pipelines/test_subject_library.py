import os
import shutil
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from PIL import Image

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import OutputError, SubjectError
from pipelines.subject_library import SubjectLibrary, checked_name


def subject(category: str = "dog", seed: int = 0) -> SubjectEmbedding:
    tokens = torch.randn(4, 8, generator=torch.Generator().manual_seed(seed))
    return SubjectEmbedding(tokens, category, Image.new("RGB", (8, 8), "red"), "model-a")


@pytest.fixture
def library(tmp_path: Path) -> SubjectLibrary:
    return SubjectLibrary(tmp_path / "library")


def test_what_is_kept_comes_back_with_its_picture(library: SubjectLibrary) -> None:
    kept = library.save(subject(), "Rex")
    assert torch.equal(library.load("Rex").tokens, subject().tokens)
    (entry,) = library.entries()
    assert (entry.name, entry.category, entry.fingerprint, entry.path) == ("Rex", "dog", "model-a", kept.path)
    assert entry.thumbnail is not None
    assert [path.name for path in library.folder.iterdir()] == ["Rex.safetensors"]


def test_without_a_name_the_category_is_one_and_numbers_follow(library: SubjectLibrary) -> None:
    assert [library.save(subject()).name for _ in range(3)] == ["dog", "dog-2", "dog-3"]


def test_a_search_finds_words_of_names_and_categories(library: SubjectLibrary) -> None:
    for name, category in (("Rex", "dog"), ("old Tom", "cat"), ("Bello", "small dog")):
        library.save(subject(category), name)
    assert [entry.name for entry in library.entries("DOG")] == ["Bello", "Rex"]
    assert [entry.name for entry in library.entries("tom cat")] == ["old Tom"]
    assert library.entries("horse") == []


def test_rename_delete_import_and_export(library: SubjectLibrary, tmp_path: Path) -> None:
    library.save(subject(), "Rex")
    assert library.rename("Rex", "Bello").name == "Bello"
    assert library.rename("Bello", "bello").name == "bello"
    card = library.send_out("bello", tmp_path)
    assert card == tmp_path / "bello.safetensors"
    library.delete("bello")
    assert library.entries() == []
    assert library.bring_in(card).name == "bello"
    assert library.bring_in(card, "another").name == "another"


def test_a_damaged_card_is_listed_with_its_trouble(library: SubjectLibrary) -> None:
    library.save(subject(), "Rex")
    (library.folder / "broken.safetensors").write_bytes(b"nothing")
    entries = library.entries()
    assert [entry.name for entry in entries if entry.trouble is None] == ["Rex"]
    assert "subject card" in str(entries[0].trouble)


def test_what_is_deleted_comes_back_until_the_bin_is_emptied(library: SubjectLibrary) -> None:
    for seed in (0, 1):
        library.save(subject(seed=seed), "Rex")
        library.delete("Rex")
    library.save(subject("cat"), "Tom")
    assert [entry.name for entry in library.entries()] == ["Tom"]
    assert [entry.name for entry in library.deleted()] == ["Rex", "Rex"]
    assert library.restore("Rex").name == "Rex"
    assert torch.equal(library.load("Rex").tokens, subject(seed=1).tokens), "the last one comes back first"
    with pytest.raises(SubjectError, match="already"):
        library.restore("Rex")
    assert library.restore("Rex", "Old Rex").name == "Old Rex"
    with pytest.raises(SubjectError, match="The bin has no subject 'Rex'"):
        library.restore("Rex")
    library.delete("Tom")
    assert (library.empty_bin(), library.empty_bin(), library.deleted()) == (1, 0, [])


def test_a_library_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / ("x" * 300)):
        with pytest.raises(SubjectError, match="cannot be read"):
            SubjectLibrary(folder).entries()


def test_one_card_of_any_trouble_hides_no_other(library: SubjectLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    library.save(subject(), "Rex")
    (library.folder / "folder.safetensors").mkdir()
    (library.folder / "nowhere.safetensors").symlink_to("nothing")
    (library.folder / "round.safetensors").symlink_to("round.safetensors")
    (Path(os.fsdecode(os.fsencode(library.folder) + b"/no\xfftext.safetensors"))).write_bytes(b"x")
    (library.folder / "._Rex.safetensors").write_bytes(b"x")
    entries = library.entries()
    assert [entry.name for entry in entries if entry.trouble is None] == ["Rex"]
    assert len(entries) == 5
    "".join(f"{entry.name}{entry.trouble}" for entry in entries).encode()


def test_threads_that_take_one_name_do_not_lose_a_card(library: SubjectLibrary) -> None:
    def keep(seed: int) -> str | None:
        try:
            return library.save(subject(seed=seed), "Rex" if seed % 2 else None).name
        except SubjectError as error:
            assert "already" in str(error)
            return None

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(keep, range(16)))
    assert sorted(name for name in told if name) == sorted(entry.name for entry in library.entries())
    assert [name for name in told if name].count("Rex") == 1
    for seed, name in enumerate(told):
        assert name is None or torch.equal(library.load(name).tokens, subject(seed=seed).tokens)


@pytest.mark.parametrize("name", ["हिन्दी कुत्ता", "Jos\u00e9", "犬" * 60, "𠀋" * 60])
def test_names_in_any_script_are_kept(name: str, library: SubjectLibrary) -> None:
    library.save(subject(), name)
    library.rename(name, "b")
    library.rename("b", name)
    library.delete(name)
    library.restore(name)
    assert [entry.name for entry in library.entries()] == [name]


@pytest.mark.parametrize("name", ["", " ", "../up", "a/b", "a\\b", ".hidden", "nul", "x" * 61, "a\nb", "a:b"])
def test_names_that_are_no_files_names_are_refused(name: str) -> None:
    with pytest.raises(SubjectError, match="cannot be called"):
        checked_name(name)


def test_nothing_is_overwritten_and_what_is_missing_is_said(library: SubjectLibrary, tmp_path: Path) -> None:
    assert library.entries() == []
    library.save(subject(), "Rex")
    library.save(subject(seed=1), "Bello")
    for refused in (
        lambda: library.save(subject(), "Rex"),
        lambda: library.rename("Bello", "Rex"),
        lambda: library.load("Tom"),
        lambda: library.delete("Tom"),
        lambda: library.bring_in(tmp_path / "nothing.safetensors"),
    ):
        with pytest.raises(SubjectError):
            refused()
    for place in (tmp_path / "card.txt", library.folder):
        with pytest.raises(OutputError):
            library.send_out("Rex", place)
    assert len(library.entries()) == 2


@pytest.mark.parametrize("name", ["dog (1)", "Rex's", " a&b ", unicodedata.normalize("NFD", "Café"), "x" * 100])
def test_whatever_name_is_listed_leads_to_its_card(library: SubjectLibrary, name: str) -> None:
    kept = library.save(subject(), "Rex")
    shutil.copyfile(kept.path, library.folder / f"{name}.safetensors")
    listed = next(entry.name for entry in library.entries() if entry.name != "Rex")
    assert listed == name
    assert library.load(listed).category == "dog"
    library.delete(listed)
    assert library.restore(listed).path.name == f"{name}.safetensors"
    assert library.rename(listed, "Bello").name == "Bello"
    assert sorted(entry.name for entry in library.entries()) == ["Bello", "Rex"]


def test_a_restored_card_is_there_whatever_else_lies_in_the_bin(library: SubjectLibrary) -> None:
    library.save(subject(), "Rex")
    library.delete("Rex")
    (deleted,) = library.deleted()
    (deleted.path.parent / ".DS_Store").write_bytes(b"")
    assert library.restore("Rex").name == "Rex"
    assert library.deleted() == []
    library.empty_bin()
    assert not deleted.path.parent.exists()
