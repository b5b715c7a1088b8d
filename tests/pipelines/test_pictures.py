"""What a picture carries, and what is read back from it."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from blipdiff.errors import OutputError
from pipelines.metadata import METADATA_VERSION, read_metadata
from pipelines.pictures import SOURCE_TYPE, XMP_KEY, save_new_picture, save_picture
from tests.support.pictures import REQUEST, job, picture


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    path = save_picture(picture(), tmp_path / "a.png")
    found = read_metadata(path)
    assert found == picture().metadata()
    assert found["job"] == job(REQUEST)
    assert (found["version"], found["seed"], found["size"]) == (METADATA_VERSION, 7, [24, 16])
    assert (picture().request, picture().index) == (REQUEST, 1)
    assert found["model"] == {"name": "mini", "fingerprint": "0123456789abcdef"}
    assert np.array_equal(np.asarray(Image.open(path)), np.asarray(picture().image))


def test_letters_of_all_scripts_survive(tmp_path: Path) -> None:
    request = REQUEST | {"prompt": "ein Hund 🐶 im Schnee\nüber\u202e alles", "negative": ""}
    path = save_picture(picture(job=job(request)), tmp_path / "a.png")
    assert read_metadata(path)["job"]["request"] == request
    assert str(Image.open(path).info["parameters"]).startswith(request["prompt"])


def test_other_tools_find_their_text(tmp_path: Path) -> None:
    path = save_picture(picture(versions={"blipdiff": "9.9"}), tmp_path / "a.png")
    lines = str(Image.open(path).info["parameters"]).split("\n")
    assert lines[:2] == ['on a "table", at night', "Negative prompt: blurry"]
    assert lines[2] == (
        "Steps: 20, Sampler: dpm++ 2m, CFG scale: 7.5, Seed: 7, Size: 24x16, Subject category: dog, "
        "Model hash: 0123456789abcdef, Model: mini, Version: blipdiff 9.9"
    )


def test_the_settings_line_is_always_there_and_quotes_what_would_break_it() -> None:
    model = {"name": 'my "own", model', "fingerprint": "0123456789abcdef"}
    text = picture(job=job({"category": "dog, brown: big"}), model=model, versions={}).parameters()
    assert text.split("\n") == [
        "",
        'Seed: 7, Size: 24x16, Subject category: "dog, brown: big", Model hash: 0123456789abcdef, '
        'Model: "my \\"own\\", model", Version: blipdiff unknown',
    ]


@pytest.mark.parametrize("metadata", [True, False])
def test_every_picture_is_marked_as_generated(metadata: bool, tmp_path: Path) -> None:
    path = save_picture(picture(), tmp_path / "a.png", metadata=metadata)
    info = Image.open(path).info
    packet = info[XMP_KEY]
    tree = ElementTree.fromstring(packet[packet.index("<x:xmpmeta") : packet.index("</x:xmpmeta>") + 12])
    (mark,) = tree.iter("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")
    assert mark.text == SOURCE_TYPE
    assert b"iTXtXML:com.adobe.xmp" in path.read_bytes()
    assert ("blipdiff" in info) == ("parameters" in info) == metadata


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        save_picture(picture(), tmp_path / "file" / "a.png")
    with pytest.raises(OutputError, match=r"\.png"):
        save_picture(picture(), tmp_path / "a.jpg")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_new_picture_never_takes_anothers_place(tmp_path: Path) -> None:
    names = [save_new_picture(picture(seed=seed), tmp_path, "a dog/on ../a beach").name for seed in range(3)]
    assert names == ["a-dog-on-..-a-beach.png", "a-dog-on-..-a-beach-2.png", "a-dog-on-..-a-beach-3.png"]
    assert [read_metadata(tmp_path / name)["seed"] for name in names] == [0, 1, 2]
