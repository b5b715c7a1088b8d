"""What the page makes of clicked words, painted strokes and typed numbers before an edit begins."""

import numpy as np
import pytest
from PIL import Image

from app.ui.painting import painted
from app.ui.tabs.edit_words import SwappedWords, sentence_of, swapped_words
from blipdiff.errors import PromptError
from pipelines.controls.settings import ControlSettings
from pipelines.edit.request import EditRequest
from pipelines.parameters import parameters
from pipelines.task import tasks


@pytest.mark.parametrize(
    ("sentence", "clicked", "instead", "found"),
    [
        ("a cat sits on a sofa", [1], "dog", SwappedWords("cat", "dog", "sits on a sofa", "", "cat")),
        ("teddy bear on a sofa", [1, 0], "robot", SwappedWords("teddy bear", "robot", "on a sofa", "", "teddy bear")),
        (
            "a man holds a burger, outside",
            [4],
            "cake",
            SwappedWords("man holds a burger", "man holds a cake", "outside", "burger", "burger"),
        ),
        ("a dress", [1], " ", SwappedWords("dress", "dress", "", "", "dress")),
    ],
)
def test_clicked_words_become_the_requests(
    sentence: str, clicked: list[int], instead: str, found: SwappedWords
) -> None:
    assert swapped_words(sentence, clicked, instead) == found


@pytest.mark.parametrize(
    ("sentence", "clicked", "message"),
    [(" ", [0], "what the picture shows"), ("a cat", [], "Click on the words"), ("a cat on a mat", [1, 4], "side by")],
)
def test_words_that_cannot_be_swapped_are_explained(sentence: str, clicked: list[int], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        swapped_words(sentence, clicked, "dog")


def test_strokes_of_all_layers_become_one_mask_of_the_sources_size() -> None:
    stroke = Image.new("RGBA", (20, 10))
    stroke.paste((255, 255, 255, 255), (0, 0, 10, 10))
    mask = painted({"layers": [Image.new("RGBA", (20, 10)), stroke]}, (40, 20))
    assert mask is not None
    assert (mask.size, mask.mode) == ((40, 20), "L")
    assert np.asarray(mask)[:, :15].min() == 255
    assert np.asarray(mask)[:, 25:].max() == 0
    assert painted({"layers": [Image.new("RGBA", (20, 10))]}, (40, 20)) is None
    assert painted(None, (40, 20)) is None


def test_a_request_becomes_a_sentence_that_gives_it_back() -> None:
    found = swapped_words("a cat sits on a sofa", [1], "dog")
    request = EditRequest(source=found.source, target=found.target, prompt=found.prompt, category="dog")
    assert sentence_of(request) == ("cat sits on a sofa", "dog")
    assert swapped_words("cat sits on a sofa", [0], "dog") == found


@pytest.mark.parametrize("kind", [ControlSettings, *(task.request for task in tasks().values())])
def test_no_two_controls_of_a_request_have_one_name(kind: type) -> None:
    labels = [declared.label for declared in parameters(kind).values()]
    assert sorted(set(labels)) == sorted(labels)
