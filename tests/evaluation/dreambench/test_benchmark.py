"""What a benchmark asks for is what its published files say."""

from pathlib import Path

import pytest

from blipdiff.errors import ConfigError
from blipdiff.evaluation.dreambench.benchmark import PHOTOS, read_benchmark
from tests.support import benchmarks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return benchmarks.dreambench(tmp_path / "dreambooth" / "dataset")


def test_subjects_have_their_class_word_and_the_prompts_of_their_kind_without_the_unique_token(folder: Path) -> None:
    found = {one.name: one for one in read_benchmark(folder).subjects}
    assert {name: one.category for name, one in found.items()} == benchmarks.SUBJECTS
    assert [one.caption for one in found["vase"].prompts] == [
        "a vase in the jungle",
        "a vase floating on top of water",
        "a red vase",
    ]
    assert [one.caption for one in found["dog6"].prompts][1] == "a dog wearing a red hat"
    assert (found["wolf_plushie"].prompts[2].target, found["wolf_plushie"].prompts[2].prompt) == (
        "red stuffed animal",
        "",
    )
    assert [photo.name for photo in found["dog6"].photos] == [f"{number:02}.jpg" for number in range(5)]


def test_the_folder_of_the_whole_repository_is_taken_as_well(folder: Path) -> None:
    assert read_benchmark(folder.parent).fingerprint() == read_benchmark(folder).fingerprint()


def test_the_published_set_has_158_photos_of_30_subjects() -> None:
    assert (len(PHOTOS), sum(PHOTOS.values())) == (30, 158)


def test_a_part_of_the_pictures_shows_every_subject_and_numbers_do_not_depend_on_the_order(folder: Path) -> None:
    pictures = read_benchmark(folder).pictures(4)
    assert len(pictures) == 3 * 3 * 4
    assert {one.subject.name for one in pictures[:12]} == set(benchmarks.SUBJECTS)
    numbered = sorted(pictures, key=lambda one: one.number)
    assert [one.number for one in numbered] == list(range(36))
    order = [(one.subject.name, one.prompt, one.place) for one in numbered]
    assert order == [(name, prompt, place) for name in benchmarks.SUBJECTS for prompt in range(3) for place in range(4)]
    assert numbered[4].name == "vase/01-0.png"


def test_missing_and_damaged_photos_are_listed_and_left_out_when_that_is_allowed(folder: Path) -> None:
    (folder / "vase" / "03.jpg").unlink()
    (folder / "dog6" / "01.jpg").write_bytes(b"no picture")
    for photo in (folder / "wolf_plushie").iterdir():
        photo.unlink()
    with pytest.raises(ConfigError, match=r"7 photos of DreamBench .*vase/03.jpg.*dog6/01.jpg.*--allow-missing"):
        read_benchmark(folder)
    found = read_benchmark(folder, allow_missing=True)
    assert [(one.name, len(one.photos)) for one in found.subjects] == [("vase", 5), ("dog6", 4)]
    assert len(found.missing) == 7


def test_another_photo_is_other_data(folder: Path) -> None:
    before = read_benchmark(folder).fingerprint()
    (folder / "vase" / "03.jpg").write_bytes((folder / "dog6" / "00.jpg").read_bytes())
    assert read_benchmark(folder).fingerprint() != before


def test_a_folder_with_neither_and_a_file_without_prompts_are_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no copy of DreamBench"):
        read_benchmark(tmp_path / "empty")
    (folder / "prompts_and_classes.txt").write_text("vase,vase\n")
    with pytest.raises(ConfigError, match="1 classes and 0 prompts"):
        read_benchmark(folder)


def test_dreambench_plus_has_captions_of_its_own_for_each_photo(tmp_path: Path) -> None:
    found = read_benchmark(benchmarks.dreambench_plus(tmp_path / "data"))
    assert [one.name for one in found.subjects] == ["live_subject_animal_00_kitten", "object_00_red_mug"]
    kitten = found.subjects[0]
    assert (kitten.category, len(kitten.photos), len(kitten.prompts)) == ("kitten", 1, 9)
    assert (kitten.prompts[2].caption, kitten.prompts[2].prompt) == (
        "A kitten sits on chair 2.",
        "sits on chair 2.",
    )
    assert kitten.prompts[8].prompt == "Somebody paints the kitten."


def test_dreambench_plus_with_a_missing_photo_or_caption_is_refused(tmp_path: Path) -> None:
    folder = benchmarks.dreambench_plus(tmp_path / "data")
    (folder / "images" / "object" / "00.jpg").unlink()
    with pytest.raises(ConfigError, match=r"1 photos of DreamBench\+\+ .*object/00.jpg"):
        read_benchmark(folder)
    (folder / "captions" / "object" / "00.txt").write_text("mug\nA mug.\n")
    with pytest.raises(ConfigError, match="has 2 lines"):
        read_benchmark(folder, allow_missing=True)
