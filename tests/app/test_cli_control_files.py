"""ControlNets in single files, from the command line: drawn with, told, repeated; holes that an inpaint net fills."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from blipdiff.checkpoints.given_control import load_given_control
from blipdiff.control.controlnet import ControlBranch
from blipdiff.errors import ImageError
from pipelines import BlipDiffusionPipeline
from pipelines.metadata import read_metadata
from tests.checkpoints.test_given_control import written
from tests.support.command_line import Command
from tests.support.face import draw, quiet
from tests.support.refusals import assert_refused
from tests.support.tiny_models import photo, tiny_controlnet, tiny_model

pytest_plugins = ["tests.support.command_fixtures"]

FAST = ("--steps", 2, "--count", 1, "--seed", 3, "--size", 16)


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    (tmp_path / "nets").mkdir()
    for name in ("control_v11p_sd15_canny.pth", "control_v11p_sd15_inpaint.safetensors", "my_net.safetensors"):
        written(tiny_controlnet(), tmp_path / "nets" / name)
    photo(4, (32, 32)).save(tmp_path / "sofa.png")
    return tmp_path / "nets"


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_a_file_is_followed_through_the_map_that_its_name_tells(
    blipdiff: Command, model: Path, dog: Path, nets: Path
) -> None:
    shared = (
        "stylize",
        "--model",
        model,
        "--subject",
        dog,
        "--category",
        "dog",
        "--structure",
        nets.parent / "sofa.png",
    )
    drawn = blipdiff(*shared, "--control", nets / "control_v11p_sd15_canny.pth", *FAST)
    assert drawn.code == 0, drawn.err
    assert "control_v11p_sd15_canny.pth is given maps of 'canny', as its name says;" in drawn.err
    (told,) = read_metadata(drawn.pictures[0])["job"]["request"]["controls"]
    assert (told["control"], told["preprocessor"]) == ("control_v11p_sd15_canny.pth", "canny")
    assert len(told["fingerprint"]) == 16
    other = blipdiff(*shared, "--control", nets / "my_net.safetensors", *FAST, "--output", "other")
    assert "its name does not tell" in other.err
    assert (pixels(other.pictures[0]) == pixels(drawn.pictures[0])).all()
    like = ("stylize", "--model", model, "--like", drawn.pictures[0], "--output", "again")
    assert_refused(blipdiff(*like), "give its folder with --control", written=Path("again"))
    for place in (nets / "control_v11p_sd15_canny.pth", nets):
        again = blipdiff(*like, "--control", place)
        assert again.code == 0, again.err
        assert (pixels(again.pictures[0]) == pixels(drawn.pictures[0])).all()
    wrong = blipdiff(*shared, "--control", nets.parent / "sofa.png", *FAST, "--output", "none")
    assert wrong.code == 2 and "is a picture; a weights file was expected" in wrong.err


def test_an_inpaint_net_sees_holes_where_a_structure_is_transparent(
    blipdiff: Command, model: Path, dog: Path, nets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    made = ControlBranch.__post_init__
    monkeypatch.setattr(ControlBranch, "__post_init__", lambda self: (seen.append(self.picture), made(self))[1])
    whole = photo(4, (16, 16))
    alpha = Image.new("L", (16, 16), 255)
    alpha.paste(0, (4, 4, 12, 12))
    holed = Image.merge("RGBA", (*whole.split(), alpha))
    holed.save(nets / "holed.png")
    shared = ("stylize", "--model", model, "--subject", dog, "--category", "dog")
    asked = ("--control", nets / "control_v11p_sd15_inpaint.safetensors", *FAST)
    drawn = blipdiff(*shared, "--structure", nets / "holed.png", *asked)
    assert drawn.code == 0, drawn.err
    picture = seen[0][0]
    assert bool((picture[:, 4:12, 4:12] == -1).all())
    kept = torch.tensor(np.asarray(whole)).permute(2, 0, 1) / 255
    assert torch.equal(picture[:, :4], kept[:, :4])
    again = blipdiff("stylize", "--model", model, "--like", drawn.pictures[0], "--control", nets, "--output", "again")
    assert again.code == 0, again.err
    assert torch.equal(seen[-1], seen[0])  # the map in the picture's metadata keeps its holes
    assert (pixels(again.pictures[0]) == pixels(drawn.pictures[0])).all()
    plain = blipdiff(*shared, "--structure", nets.parent / "sofa.png", *asked, "--output", "none")
    assert plain.code == 2 and "The picture has no transparent parts" in plain.err


def test_the_pipeline_takes_minus_one_as_diffusers_users_give_it(nets: Path) -> None:
    net = load_given_control(
        nets / "control_v11p_sd15_inpaint.safetensors", unet_config=tiny_model().unet.config
    ).requires_grad_(False)
    pipe = quiet(BlipDiffusionPipeline.from_model(tiny_model(), controlnet=net))
    given = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    holes = given.clone()
    holes[..., 4:12, 4:12] = -1.0
    seen: list[Tensor] = []
    net.register_forward_pre_hook(lambda _net, _args, named: seen.append(named["controlnet_cond"]), with_kwargs=True)
    first = draw(pipe, control_image=holes)
    assert bool((seen[0][0, :, 4:12, 4:12] == -1).all())
    assert float((seen[0][0] - holes[0]).abs().max()) <= 0.5 / 255 + 1e-6
    asked = {"control_image": np.moveaxis(holes.numpy(), 1, -1)}
    assert torch.equal(draw(pipe, **asked), first)
    assert torch.equal(draw(pipe, control_image=[holes[0]]), first)
    assert not torch.equal(draw(pipe, control_image=given), first)
    with pytest.raises(ImageError, match="from 0 to 1"):
        draw(pipe, control_image=given - 0.5)


def test_a_transparent_picture_is_on_white_for_any_other_net(nets: Path) -> None:
    pipe = quiet(BlipDiffusionPipeline.from_model(tiny_model(), controlnet=tiny_controlnet()))
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    white = Image.new("RGB", (16, 16), "white")
    assert torch.equal(draw(pipe, control_image=clear), draw(pipe, control_image=white))
