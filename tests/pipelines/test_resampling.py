"""Control pictures of another size, resized as the original that is named does it."""

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from blipdiff.control.preprocessors import Preprocessors
from blipdiff.errors import ConfigError, ImageError
from blipdiff.images import picture_tensor
from pipelines import BlipDiffusionPipeline
from pipelines.controls.nets import map_of
from pipelines.controls.settings import ControlSettings
from tests.support.face import differ, draw
from tests.support.tiny_models import photo

try:
    from diffusers.pipelines.deprecated.blip_diffusion.blip_image_processing import BlipImageProcessor
except ModuleNotFoundError:  # before diffusers 0.36
    from diffusers.pipelines.blip_diffusion.blip_image_processing import BlipImageProcessor

pytest_plugins = ["tests.support.face_fixtures"]


def originals(picture: Image.Image, size: tuple[int, int]) -> dict[str, torch.Tensor]:
    """What diffusers' own code makes of a control picture: its BLIP-Diffusion pipeline, and its ControlNet ones."""
    asked = {"do_rescale": True, "do_center_crop": False, "do_normalize": False, "return_tensors": "pt"}
    peer = BlipImageProcessor().preprocess(picture, size={"width": size[0], "height": size[1]}, **asked)
    other = VaeImageProcessor(do_convert_rgb=True, do_normalize=False)
    return {
        "bicubic": torch.as_tensor(np.asarray(peer["pixel_values"]))[0].float(),
        "lanczos": other.preprocess(picture, height=size[1], width=size[0])[0],
    }


@pytest.mark.parametrize("size", [(64, 48), (24, 40)])
def test_each_name_is_its_originals_arithmetic(size: tuple[int, int]) -> None:
    picture = photo(3, (40, 32))
    found = {name: picture_tensor(picture, size, resample=name) for name in ("bicubic", "lanczos")}
    for name, theirs in originals(picture, size).items():
        assert float((found[name] - theirs).abs().max()) < 1e-6, name
    assert differ(found["bicubic"], found["lanczos"])
    assert torch.equal(picture_tensor(picture, size), found["bicubic"])


def test_the_name_reaches_the_map_and_the_picture(controlled: BlipDiffusionPipeline) -> None:
    edges = photo(3, (40, 40))
    size = draw(controlled).shape[-2:]
    for name in ("bicubic", "lanczos"):
        ready = Image.fromarray(
            (picture_tensor(edges, (size[1], size[0]), resample=name) * 255).byte().permute(1, 2, 0).numpy()
        )
        given = draw(controlled, control_image=edges, control_resample=name)
        assert torch.equal(given, draw(controlled, control_image=ready))
        settings = ControlSettings(preprocessor="none", structure_fit="squash", structure_resample=name)
        made = map_of(Preprocessors(), settings, edges, (size[1], size[0]))
        assert np.array_equal(np.asarray(made), np.asarray(ready))
    assert not torch.equal(given, draw(controlled, control_image=edges))
    assert torch.equal(
        draw(controlled, control_image=edges, control_resample="bicubic"), draw(controlled, control_image=edges)
    )


def test_other_names_are_refused(controlled: BlipDiffusionPipeline) -> None:
    with pytest.raises(ImageError, match="bicubic or lanczos, not by 'nearest'"):
        draw(controlled, control_image=photo(3, (40, 40)), control_resample="nearest")
    with pytest.raises(ConfigError, match="bicubic, lanczos"):
        ControlSettings(structure_resample="nearest")
