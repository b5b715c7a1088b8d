"""The bundled describer answers what its heads can tell, says what it cannot, and looks where it was asked to."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from blipdiff.checkpoints.describer import load_describer
from blipdiff.errors import ImageError, PromptError
from blipdiff.images import open_picture
from blipdiff.language.answers import Answer, Turn
from blipdiff.language.heat import heat_picture, over_photo
from blipdiff.language.mini import DescriberEngine
from blipdiff.language.questions import Asked, thing_and_place, understood

SUBJECTS = Path(__file__).parents[2] / "blipdiff" / "assets" / "subjects"
pytestmark = pytest.mark.bundled


@cache
def engine() -> DescriberEngine:
    return DescriberEngine(load_describer())


@cache
def subject(name: str) -> Image.Image:
    return open_picture(SUBJECTS / f"{name}.png")


def two_things(left: str, right: str) -> Image.Image:
    """Two bundled subjects side by side on white."""
    scene = Image.new("RGB", (256, 128), "white")
    for place, name in enumerate((left, right)):
        scene.paste(subject(name).resize((120, 120)), (4 + 128 * place, 4))
    return scene


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("What is it?", Asked("what")),
        ("what's in the picture", Asked("what")),
        ("What colour is the cup?", Asked("colour", "cup")),
        ("what color is it", Asked("colour")),
        ("Is it a cup?", Asked("whether", "cup")),
        ("does the picture show a red cup?", Asked("whether", "cup", colour="red")),
        ("Is there a table?", Asked("whether", "table")),
        ("Is the cup red?", Asked("whether", "cup", colour="red", is_presumed=True)),
        ("is it gray", Asked("whether", "", colour="gray")),
        ("Is it on a beach?", Asked("whether", "on a beach")),
        ("is the dog on the grass?", Asked("whether", "dog on the grass", is_presumed=True)),
        ("Is it a cup or a bowl?", Asked("which", options=("cup", "bowl"))),
        ("Which of these: a cat, a dog or a fox?", Asked("which", options=("cat", "dog", "fox"))),
        ("Describe it.", Asked("caption")),
        ("who painted this?", None),
        ("how many cups are there?", None),
    ],
)
def test_a_question_is_understood_by_its_form(question: str, asked: Asked | None) -> None:
    assert understood(question) == asked


def test_a_place_is_told_from_the_thing_in_it() -> None:
    assert thing_and_place("red cup on a table") == ("red cup", "on a table")
    assert thing_and_place("on a beach") == ("", "on a beach")
    assert thing_and_place("inkpot") == ("inkpot", "")


@pytest.mark.parametrize(("name", "colour"), [("balloon", "red"), ("eggplant", "purple"), ("padlock", "yellow")])
def test_colours_are_told_of_what_was_named_before(name: str, colour: str) -> None:
    said = engine().answer(subject(name), "what colour is it?", turns=(Turn(f"is it a {name}?", "yes"),))
    assert said.text == colour
    assert sum(share for _, share in said.chances) == pytest.approx(1)
    assert engine().answer(subject(name), f"is the {name} {colour}?").text == "yes"
    assert engine().answer(subject(name), f"is the {name} green?").text == "no"


def test_of_several_only_those_are_answers_and_the_likeliest_is_said() -> None:
    said = engine().answer(subject("balloon"), "is it a balloon, a table or a shoe?")
    assert {name for name, _ in said.chances} == {"balloon", "table", "shoe"}
    assert said.text == said.chances[0][0]
    assert "no 'balloon'" in said.notes[-1]  # which it has never read
    assert engine().answer(subject("balloon"), "is it red or green?").text == "red"


def test_a_place_that_is_not_shown_is_denied() -> None:
    assert engine().answer(subject("balloon"), "is it on a beach?").text == "no"


def test_where_it_is_not_sure_it_says_so_and_other_questions_it_refuses() -> None:
    assert "not sure" in engine().answer(subject("eggplant"), "what is it?").notes[0]
    with pytest.raises(PromptError, match=r"another kind.*blip-2"):
        engine().answer(subject("balloon"), "who made it?")
    with pytest.raises(ImageError, match="shows nothing"):
        engine().answer(Image.new("RGB", (1, 1)), "what is it?")


def test_two_questions_look_at_different_patches_of_one_scene() -> None:
    scene, said = two_things("tractor", "croissant"), Answer("green")
    left, right = (
        over_photo(engine().looked(scene, question, said), scene.size)
        for question in ("what colour is the tractor?", "is there a croissant?")
    )
    share = [float(one[:, :128].sum() / one.sum()) for one in (left, right)]
    assert share[0] > 0.6
    assert share[1] < 0.4


def test_looking_leaves_the_describer_as_it_was() -> None:
    network = engine().describer.network
    before = [weight.requires_grad for weight in network.parameters()]
    engine().looked(subject("balloon"), "what colour is the balloon?", Answer("red"))
    assert not any(module._forward_hooks for module in network.modules())
    assert [weight.requires_grad for weight in network.parameters()] == before
    assert all(weight.grad is None for weight in network.parameters())


@pytest.mark.parametrize("size", [(60, 40), (40, 60), (50, 50)])
@pytest.mark.parametrize("fit", ["pad", "crop", "squash"])
def test_the_heat_lies_over_the_photo_in_its_own_size(size: tuple[int, int], fit: str) -> None:
    looked = engine().looked(subject("balloon"), "what is it?", Answer("a balloon"))
    corner = torch.zeros(8, 8)
    corner[4, 4] = 1
    moved = type(looked)(corner, "", fit)
    heat = over_photo(moved, size)
    assert heat.shape == size[::-1]
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    assert abs(row - size[1] * 0.56) < size[1] * 0.15
    assert abs(column - size[0] * 0.56) < size[0] * 0.15
    assert heat_picture(Image.new("RGB", size, "gray"), moved).size == size
