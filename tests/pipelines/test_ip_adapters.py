"""IP-Adapters: as diffusers' own pipeline draws with them, as an addition to a model, refused by name, taken off."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from blipdiff.checkpoints import save_model
from blipdiff.checkpoints.additions import Additions, added
from blipdiff.errors import CheckpointError, ConfigError
from pipelines import BlipDiffusionPipeline
from pipelines.studio import Studio
from tests.support.brought import sd_pipeline, write_ip_adapter
from tests.support.command_line import Command
from tests.support.face import close, differ, draw, quiet
from tests.support.studios import drawn
from tests.support.tiny_models import photo, tiny_model

pytest_plugins = ["tests.support.command_fixtures", "tests.support.face_fixtures"]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ip_adapter(tiny_model(), tmp_path_factory.mktemp("ip") / "models")


def weights(pipe: BlipDiffusionPipeline) -> dict[str, torch.Tensor]:
    return {name: one.clone() for name, one in pipe.unet.state_dict().items()}


@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_it_draws_what_diffusers_own_pipeline_draws(adapter: Path, scale: float) -> None:
    model = tiny_model()
    theirs, ours = sd_pipeline(model), quiet(BlipDiffusionPipeline.from_model(model))
    start = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(5))
    shared: dict[str, Any] = {"latents": start, "num_inference_steps": 3, "guidance_scale": 5.0, "output_type": "pt"}
    embeds = {
        "prompt_embeds": model.encode_prompts(["a dog on a beach"]).embeddings,
        "negative_prompt_embeds": model.encode_prompts([""]).embeddings,
    }
    plain = ours(**embeds, **shared).images
    for pipe in (theirs, ours):
        pipe.load_ip_adapter(str(adapter.parent.parent), subfolder="models", weight_name=adapter.name)
        pipe.set_ip_adapter_scale(scale)
    wanted = theirs("a dog on a beach", ip_adapter_image=photo(6), **shared).images
    found = ours(**embeds, ip_adapter_image=photo(6), **shared).images
    assert float((found - wanted).abs().max()) < 1e-5
    assert differ(found, plain)


def test_a_files_path_will_do_and_taking_it_off_leaves_the_same_bits(
    pipe: BlipDiffusionPipeline, adapter: Path
) -> None:
    before, plain, own = weights(pipe), draw(pipe), pipe.model.identity
    pipe.load_ip_adapter(adapter)
    with_one = draw(pipe, ip_adapter_image=photo(6))
    assert differ(with_one, plain)
    assert pipe.model.identity.differing(own.told()) == ["U-Net"]
    embeds = pipe.prepare_ip_adapter_image_embeds(photo(6), None, pipe.device, 1, True)
    assert torch.equal(draw(pipe, ip_adapter_image_embeds=embeds), with_one)
    with pytest.raises(ConfigError, match="no picture for it was given"):
        draw(pipe)
    with pytest.raises(CheckpointError, match="has an IP-Adapter beside its weights"):
        pipe.save_pretrained(adapter.parent / "saved")
    pipe.set_ip_adapter_scale(0.0)
    assert close(draw(pipe, ip_adapter_image=photo(6)), plain)
    pipe.unload_ip_adapter()
    after = weights(pipe)
    assert after.keys() == before.keys() and all(torch.equal(one, before[name]) for name, one in after.items())
    assert torch.equal(draw(pipe), plain)
    assert pipe.model.identity == own
    with pytest.raises(ConfigError, match="1 pictures were given for 0 IP-Adapters"):
        draw(pipe, ip_adapter_image=photo(6))


def test_what_attention_taps_cannot_see_is_said(pipe: BlipDiffusionPipeline, adapter: Path) -> None:
    pipe.load_ip_adapter(adapter)
    cut = photo().convert("RGBA")
    cut.paste((0, 0, 0, 0), (0, 0, 10, 40))
    with pytest.raises(ConfigError, match="which attention taps do not understand; unload"):
        draw(pipe, reference_image=cut, ip_adapter_image=photo(6), reference_detail=0.5)


@pytest.mark.parametrize("name", ["ip-adapter_sd15.safetensors", "ip-adapter_sd15.bin"])
def test_a_studio_draws_with_it_beside_the_subject(tmp_path: Path, name: str) -> None:
    save_model(tiny_model(), tmp_path / "model")
    path = write_ip_adapter(tiny_model(), tmp_path / "ip", name=name)
    photo(6).save(tmp_path / "look.png")

    def pictures(**asked: Any) -> Any:
        additions = Additions.of(**asked) if asked else None
        return drawn(Studio.open(tmp_path / "model", device="cpu", dtype="float32", additions=additions))[0]

    plain, full = pictures(), pictures(ip_adapter=path, ip_image=tmp_path / "look.png")
    assert (full != plain).any()
    assert (pictures(ip_adapter=f"{path}:0", ip_image=photo(6)) == plain).all()
    assert (pictures(ip_adapter=path.parent, ip_image=photo(6), ip_encoder=path.parent / "image_encoder") == full).all()


def test_the_command_draws_tells_and_repeats(blipdiff: Command, model: Path, dog: Path, adapter: Path) -> None:
    photo(6).save("look.png")
    added_ = ("--ip-adapter", f"{adapter}:0.7", "--ip-image", "look.png")
    shared = ("generate", "--model", model)
    asked = ("--subject", dog, "--category", "dog", "--steps", 2, "--count", 1, "--seed", 3)
    ended = blipdiff(*shared, *asked, *added_)
    assert ended.code == 0, ended.err
    again = blipdiff(*shared, "--like", ended.pictures[0], "--output", "again", *added_)
    assert again.code == 0, again.err
    assert again.pictures[0].read_bytes() == ended.pictures[0].read_bytes()
    other = blipdiff(*shared, "--like", ended.pictures[0], "--output", "other")
    assert other.code == 2 and "IP-Adapter ip-adapter_sd15 of the picture" in other.err
    bare = blipdiff(*shared, *asked, "--ip-adapter", adapter, "--output", "none")
    assert bare.code == 2 and "needs a picture to read: add --ip-image" in bare.err


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"lora_unet_x.lora_down.weight": (2, 768)}, "is a LoRA for Stable Diffusion 1.5; an IP-Adapter for"),
        ({"image_proj.norm.weight": (8,), "ip_adapter.1.to_k_ip.weight": (8, 2048)}, "one for Stable Diffusion XL"),
        ({"image_proj.norm.weight": (8,), "ip_adapter.1.to_k_ip.weight": (8, 24)}, "this model's words are 16 wide"),
        ({"image_proj.norm.weight": (8,)}, "an IP-Adapter for Stable Diffusion 1.5 was expected"),
        ({"image_proj.proj.weight": (64, 12), "ip_adapter.1.to_k_ip.weight": (9, 16)}, "an IP-Adapter that fits"),
    ],
    ids=lambda one: one if isinstance(one, str) else next(iter(one)),
)
def test_a_file_that_does_not_fit_leaves_nothing(
    tmp_path: Path, adapter: Path, tensors: dict[str, tuple[int, ...]], said: str
) -> None:
    path = tmp_path / "one.safetensors"
    save_file({name: torch.ones(shape) for name, shape in tensors.items()}, path)
    model = tiny_model()
    before, kinds = set(model.unet.state_dict()), {type(one) for one in model.unet.attn_processors.values()}
    encoder = adapter.parent / "image_encoder"
    with pytest.raises(CheckpointError, match=said):
        added(model, Additions.of(ip_adapter=path, ip_image=photo(), ip_encoder=encoder))
    assert set(model.unet.state_dict()) == before
    assert {type(one) for one in model.unet.attn_processors.values()} == kinds


def test_a_missing_encoder_and_a_wrong_weight_are_named(tmp_path: Path, adapter: Path) -> None:
    with pytest.raises(CheckpointError, match=r"needs its image encoder, which is not in .*; give its folder with"):
        added(tiny_model(), Additions.of(ip_adapter=adapter, ip_image=photo(), ip_encoder=tmp_path))
    with pytest.raises(ConfigError, match="an IP-Adapter's goes from 0 to 2"):
        Additions.of(ip_adapter=f"{adapter}:3", ip_image=photo())
