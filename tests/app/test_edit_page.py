"""What the page makes of clicked words, painted strokes and typed numbers before an edit begins."""

import numpy as np
import pytest
from PIL import Image

from app.ui.edit_tab import painted
from app.ui.edit_words import SwappedWords, swapped_words
from app.ui.request_form import RequestForm
from blipdiff.errors import ConfigError, PromptError
from pipelines.blend_request import BlendRequest
from pipelines.edit_request import EditRequest
from pipelines.requests import GenerateRequest, parameters
from pipelines.scene_request import SceneRequest
from pipelines.stylize_request import ControlSettings, StylizeRequest


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


@pytest.mark.parametrize(
    "kind", [BlendRequest, ControlSettings, EditRequest, GenerateRequest, SceneRequest, StylizeRequest]
)
def test_no_two_controls_of_a_request_have_one_name(kind: type) -> None:
    labels = [declared.label for declared in parameters(kind).values()]
    assert sorted(set(labels)) == sorted(labels)


def test_controls_give_back_the_requests_own_defaults_and_name_what_is_no_number() -> None:
    form = RequestForm(EditRequest, "edit", {"guidance": 3.0})
    names = ("seed", "guidance", "strength", "cross_stop", "width", "keep_background", "negative", "blend_words")
    form.place(*names)
    shown = [control.value for control in form.controls.values()]
    values = form.values(shown)
    default = EditRequest(source="cat")
    assert values == {name: getattr(default, name) for name in names} | {"guidance": 3.0}
    typed = form.values(["7", 2.0, 0.5, " 0.25 ", "64", True, "snow", "both"])
    assert (typed["seed"], typed["cross_stop"], typed["width"], typed["keep_background"]) == (7, 0.25, 64, True)
    with pytest.raises(ConfigError, match="Words until is 'half'"):
        form.values(["7", 2.0, 0.5, "half", "", False, "", None])
    with pytest.raises(ConfigError, match="Guidance is empty"):
        form.values(["7", None, 0.5, "", "", False, "", None])
