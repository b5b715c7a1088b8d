import pytest
import torch

from blipdiff.conditioning.guidance import Conditioning, Guidance, concat
from blipdiff.conditioning.layout import TokenLayout
from blipdiff.errors import ConfigError, ShapeError
from blipdiff.moment import Moment, Window


def conditioning(rows: int, slots: int = 5, width: int = 4) -> Conditioning:
    layouts = tuple(TokenLayout((f"row{row}</w>",) * slots) for row in range(rows))
    values = torch.arange(rows, dtype=torch.float32)[:, None, None].expand(rows, slots, width)
    return Conditioning(values.clone(), layouts)


def test_selecting_rows_takes_embeddings_and_layouts_together():
    taken = conditioning(3).select([2, 0, 2])
    assert taken.embeddings[:, 0, 0].tolist() == [2, 0, 2]
    assert [layout.pieces[0] for layout in taken.layouts] == ["row2</w>", "row0</w>", "row2</w>"]


def test_repeating_keeps_the_pictures_of_one_prompt_together():
    assert conditioning(2).repeat(3).embeddings[:, 0, 0].tolist() == [0, 0, 0, 1, 1, 1]


def test_joining_puts_rows_one_after_the_other():
    joined = concat([conditioning(2), conditioning(1)])
    assert joined.embeddings[:, 0, 0].tolist() == [0, 1, 0]
    assert joined.rows == 3


def test_joining_other_widths_or_nothing_is_refused():
    with pytest.raises(ShapeError, match="cannot be joined"):
        concat([conditioning(1), conditioning(1, width=8)])
    with pytest.raises(ShapeError, match="cannot be joined"):
        concat([])


def test_embeddings_and_layouts_must_belong_together():
    good = conditioning(2)
    with pytest.raises(ShapeError, match="layouts"):
        Conditioning(good.embeddings, good.layouts[:1])
    with pytest.raises(ShapeError, match="layouts"):
        Conditioning(good.embeddings[:, :3], good.layouts)
    with pytest.raises(ShapeError, match="rows, slots, width"):
        Conditioning(good.embeddings[0], good.layouts)


def test_only_rows_of_another_scale_than_one_are_guided_and_only_in_the_window():
    guidance = Guidance(conditioning(3), conditioning(3), torch.tensor([1.0, 7.5, 3.0]), Window(0.2, 0.6))
    held = [guidance.guided_rows(Moment(index, 10, torch.tensor(0))) for index in range(10)]
    assert held == [[]] * 2 + [[1, 2]] * 4 + [[]] * 4


def test_guidance_of_scale_one_needs_no_negative():
    assert Guidance.even(conditioning(2), None, 1.0).guided_rows(Moment(0, 1, torch.tensor(0))) == []
    with pytest.raises(ConfigError, match="negative"):
        Guidance.even(conditioning(2), None, 7.5)


def test_selecting_and_repeating_guidance_keeps_scales_with_their_rows():
    guidance = Guidance(conditioning(2), conditioning(2), torch.tensor([2.0, 3.0]), Window(0.1, 0.9))
    repeated = guidance.repeat(2)
    assert repeated.scale.tolist() == [2, 2, 3, 3]
    assert repeated.window == guidance.window
    assert guidance.select([1]).negative.embeddings[0, 0, 0] == 1
    assert Guidance.even(conditioning(2), None, 1.0).repeat(2).negative is None


def test_guidance_of_unequal_shapes_or_infinite_scales_is_refused():
    with pytest.raises(ShapeError, match="scales"):
        Guidance(conditioning(2), conditioning(2), torch.tensor([7.5]))
    with pytest.raises(ShapeError, match="one shape"):
        Guidance.even(conditioning(2), conditioning(1), 7.5)
    with pytest.raises(ConfigError, match="finite"):
        Guidance.even(conditioning(2), conditioning(2), float("nan"))
