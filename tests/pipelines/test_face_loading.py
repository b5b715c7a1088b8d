"""`from_pretrained` as users of diffusers write it: variants, formats, revisions, and every argument by its name."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from blipdiff.checkpoints import save_model
from blipdiff.checkpoints.needed import weights_among
from blipdiff.errors import CheckpointError, ConfigError
from pipelines import BlipDiffusionPipeline
from tests.support.brought import sd_tensors, write_checkpoint
from tests.support.face import differ, draw, quiet
from tests.support.stand_in_hub import COMMIT, StandInHub, served
from tests.support.tiny_models import tiny_model

PARTS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "qformer": "model",
}
STORED = {"torch_dtype": "stored", "device": "cpu"}


def halved(folder: Path, *, keep: bool, split: bool = False, old: bool = False) -> None:
    """Weights of the variant fp16 beside the others or in their place, in one file or in two that an index names."""
    for part, stem in PARTS.items():
        whole = folder / part / f"{stem}.safetensors"
        tensors = {name: one.half() if one.is_floating_point() else one for name, one in load_file(whole).items()}
        if not keep:
            whole.unlink()
        if not split:
            save_file(tensors, folder / part / f"{stem}.fp16.safetensors")
            continue
        names = list(tensors)
        files = {}
        for number, own in enumerate((names[::2], names[1::2]), 1):
            count = f"-{number:05d}-of-00002"
            file = f"{stem}{count}.fp16.safetensors" if old else f"{stem}.fp16{count}.safetensors"
            save_file({name: tensors[name] for name in own}, folder / part / file)
            files |= dict.fromkeys(own, file)
        (folder / part / f"{stem}.safetensors.index.fp16.json").write_text(json.dumps({"weight_map": files}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tiny_model(), tmp_path / "model")
    return tmp_path / "model"


def test_a_variant_is_read_where_it_is_asked_for_and_only_there(folder: Path) -> None:
    halved(folder, keep=True)
    full = BlipDiffusionPipeline.from_pretrained(folder, **STORED)
    half = BlipDiffusionPipeline.from_pretrained(folder, variant="fp16", **STORED)
    nets = ("unet", "text_encoder", "qformer")
    assert {getattr(full, net).dtype for net in nets} == {torch.float32}
    assert {getattr(half, net).dtype for net in nets} == {torch.float16}
    assert torch.equal(half.unet.conv_in.weight, full.unet.conv_in.weight.half())
    with pytest.raises(CheckpointError, match="no weights of the variant 'fp8' in it; it has fp16"):
        BlipDiffusionPipeline.from_pretrained(folder, variant="fp8", **STORED)


@pytest.mark.parametrize("how", [{}, {"split": True}, {"split": True, "old": True}], ids=str)
def test_a_folder_that_holds_half_precision_alone_is_read_and_says_so(folder: Path, how: dict[str, bool]) -> None:
    halved(folder, keep=False, **how)
    with pytest.warns(UserWarning, match="The weights in unet are there in fp16 alone"):
        found = BlipDiffusionPipeline.from_pretrained(folder, **STORED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asked = BlipDiffusionPipeline.from_pretrained(folder, variant="fp16", **STORED)
    wanted = {name: one.half() for name, one in tiny_model().unet.state_dict().items()}
    for pipe in (found, asked):
        assert all(torch.equal(one, wanted[name]) for name, one in pipe.unet.state_dict().items())


def test_full_precision_in_any_format_comes_before_half(folder: Path) -> None:
    halved(folder, keep=True)
    stored = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(stored), stored.with_suffix(".bin"))
    stored.unlink()
    assert BlipDiffusionPipeline.from_pretrained(folder, **STORED).unet.dtype == torch.float32
    names = [f"unet/{path.name}" for path in (folder / "unet").iterdir()]
    assert weights_among(names, "unet/", ("diffusion_pytorch_model",)) == ["unet/diffusion_pytorch_model.bin"]


def test_one_format_is_read_where_it_is_asked_for(folder: Path) -> None:
    for part, stem in PARTS.items():
        tensors = load_file(folder / part / f"{stem}.safetensors")
        other = {name: one * 0 if one.is_floating_point() else one for name, one in tensors.items()}
        torch.save(other, folder / part / f"{'pytorch_' if stem == 'model' else ''}{stem}.bin")
    assert bool(BlipDiffusionPipeline.from_pretrained(folder, use_safetensors=True, **STORED).unet.conv_in.weight.any())
    pickled = BlipDiffusionPipeline.from_pretrained(folder, use_safetensors=False, **STORED)
    assert not bool(pickled.unet.conv_in.weight.any())
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has no weights; expected diffusion_pytorch_model.safetensors in it"):
        BlipDiffusionPipeline.from_pretrained(folder, use_safetensors=True, **STORED)


@pytest.mark.parametrize(
    "asked",
    [
        {"dtype": torch.bfloat16},
        {"torch_dtype": torch.bfloat16, "dtype": torch.bfloat16},
        {"torch_dtype": "bfloat16", "low_cpu_mem_usage": True},
        {"torch_dtype": torch.bfloat16, "low_cpu_mem_usage": False, "device_map": "cpu"},
        {"dtype": "bfloat16", "device_map": {"": "cpu"}},
        {"dtype": "bfloat16", "safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
        {"dtype": "bfloat16", "use_safetensors": None, "variant": None, "token": None, "revision": None},
        {"dtype": "bfloat16", "force_download": False, "proxies": None, "resume_download": True, "mirror": None},
        {"dtype": "bfloat16", "local_files_only": True, "cache_dir": None, "custom_pipeline": None},
    ],
    ids=",".join,
)
def test_known_arguments_are_taken(folder: Path, asked: dict[str, Any]) -> None:
    pipe = BlipDiffusionPipeline.from_pretrained(folder, **{"device": "cpu"} | asked)
    assert (pipe.unet.dtype, pipe.device.type) == (torch.bfloat16, "cpu")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"use_safetensor": True}, "from_pretrained has no argument use_safetensor; it has torch_dtype, dtype"),
        ({"denoiser": None, "steps": 3}, "no argument denoiser, steps; it has .* and the components tokenizer"),
        ({"use_safetensors": "yes"}, "use_safetensors is 'yes'; it is True, False or None"),
        ({"variant": 16}, "variant is 16; a text was expected"),
        ({"device_map": "balanced"}, "device_map is 'balanced'; the model is placed on one device"),
        ({"device_map": {"unet": "cpu", "vae": "meta"}}, "the model is placed on one device"),
        ({"device_map": "meta", "device": "cpu"}, "device is 'cpu' and device_map 'meta'; give one of them"),
        ({"force_download": True}, r"from_pretrained\(force_download=True\) is not done here; delete the copy"),
        ({"custom_pipeline": "lpw"}, "is not done here; this is the pipeline"),
        ({"trust_remote_code": True}, "no code of a checkpoint is run"),
        ({"proxies": {"http": "x"}}, "set HTTPS_PROXY"),
        ({"torch_dtype": torch.float32, "dtype": torch.bfloat16}, "torch_dtype and dtype are one"),
        ({"unet": None}, "unet was given as None"),
    ],
)
def test_what_is_unknown_or_not_done_is_refused_by_its_name(folder: Path, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        BlipDiffusionPipeline.from_pretrained(folder, **asked)


@pytest.fixture
def hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    halved(folder, keep=True)
    with served(StandInHub(folder, "me/mine")) as one:
        monkeypatch.setattr(constants, "ENDPOINT", one.address)
        template = one.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield one


def test_a_hubs_variant_is_fetched_alone_into_the_cache_that_is_named(hub: StandInHub, tmp_path: Path) -> None:
    asked = {**STORED, "cache_dir": tmp_path / "other", "revision": COMMIT, "token": "hf_mine"}
    pipe = BlipDiffusionPipeline.from_pretrained("me/mine", variant="fp16", local_files_only=False, **asked)
    assert pipe.unet.dtype == torch.float16
    large = [name for name, _ in hub.fetched if name.endswith(".safetensors")]
    assert sorted(large) == sorted(f"{part}/{stem}.fp16.safetensors" for part, stem in PARTS.items())
    assert (tmp_path / "other" / "models--me--mine").is_dir()
    assert not (tmp_path / "cache" / "models--me--mine").exists()
    assert hub.tokens == {"Bearer hf_mine"}
    again = BlipDiffusionPipeline.from_pretrained("me/mine", variant="fp16", **asked)
    assert torch.equal(again.unet.conv_in.weight, pipe.unet.conv_in.weight)
    with pytest.raises(CheckpointError, match="not on this machine"):
        BlipDiffusionPipeline.from_pretrained("me/mine", **STORED)
    with pytest.raises(CheckpointError, match="no weights of the variant 'bf16'"):
        BlipDiffusionPipeline.from_pretrained("me/mine", variant="bf16", local_files_only=False, **STORED)
    with pytest.raises(CheckpointError, match="has no revision 'v9' on the hub"):
        BlipDiffusionPipeline.from_pretrained("me/mine", revision="v9", local_files_only=False, **STORED)


def test_a_single_file_lends_its_look_to_a_model(folder: Path, tmp_path: Path) -> None:
    original = write_checkpoint(sd_tensors(tiny_model(1)), tmp_path / "original.safetensors")
    dreamy = write_checkpoint(sd_tensors(tiny_model(1), 0.1), tmp_path / "dreamy.safetensors")
    asked: dict[str, Any] = {"config": folder, "original": original, **STORED}
    same = quiet(BlipDiffusionPipeline.from_single_file(original, **asked))
    own = quiet(BlipDiffusionPipeline.from_pretrained(folder, **STORED))
    assert torch.equal(draw(same), draw(own))
    assert differ(draw(quiet(BlipDiffusionPipeline.from_single_file(dreamy, **asked))), draw(own))
    with pytest.raises(CheckpointError, match="from_single_file takes one on this machine"):
        BlipDiffusionPipeline.from_single_file("https://somewhere/dreamy.safetensors", **asked)


def test_an_archive_is_a_single_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    monkeypatch.setattr(BlipDiffusionPipeline, "from_pretrained", lambda *args, **more: taken.append((args, more)))
    BlipDiffusionPipeline.from_single_file(tmp_path / "blip_diffusion.tar.gz", qformer_tokenizer_path="bert")
    assert taken == [((tmp_path / "blip_diffusion.tar.gz",), {"qformer_tokenizer_path": "bert"})]
