"""The hub's layout: what is saved is loaded, by us and by diffusers; what is wrong is named."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, PNDMScheduler, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from blipdiff.checkpoints import load_model, save_model, weights
from blipdiff.checkpoints.configs import read_json, write_json
from blipdiff.checkpoints.key_rules import old_vae_name
from blipdiff.errors import CheckpointError, OutputError
from blipdiff.models.blip_diffusion import BlipDiffusion

PARTS = ("subject_encoder", "text_encoder", "unet", "vae")


def same(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def edit_weights(path: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = {name: value.clone() for name, value in load_file(path).items()}
    change(tensors)
    save_file(tensors, path)


def edit_json(path: Path, **changes: object) -> None:
    write_json(path, read_json(path) | changes)


def test_save_then_load_is_equal(tiny: BlipDiffusion, tiny_folder: Path) -> None:
    again = load_model(tiny_folder, dtype="stored")
    assert all(same(getattr(tiny, part), getattr(again, part)) for part in PARTS)
    assert again.subject_fingerprint == tiny.subject_fingerprint
    assert again.subject_encoder.sizes == tiny.subject_encoder.sizes
    assert again.text_encoder.sizes == tiny.text_encoder.sizes
    assert again.photo == tiny.photo
    assert again.scheduler_config == tiny.scheduler_config
    assert again.prompt_tokenizer("a dog").input_ids == tiny.prompt_tokenizer("a dog").input_ids
    assert again.category_tokenizer("a dog").input_ids == tiny.category_tokenizer("a dog").input_ids
    assert again.insert_at == 2
    assert not again.unet.training


def test_diffusers_own_loaders_read_what_is_saved(
    tiny: BlipDiffusion, controlnet: ControlNetModel, tmp_path: Path
) -> None:
    save_model(replace(tiny, controlnet=controlnet), tmp_path / "model")
    unet, faults = UNet2DConditionModel.from_pretrained(tmp_path / "model" / "unet", output_loading_info=True)
    assert same(unet, tiny.unet)
    assert not any(faults.values())
    assert same(AutoencoderKL.from_pretrained(tmp_path / "model" / "vae"), tiny.vae)
    assert same(ControlNetModel.from_pretrained(tmp_path / "model" / "controlnet"), controlnet)
    assert PNDMScheduler.from_pretrained(tmp_path / "model" / "scheduler").config.skip_prk_steps
    again = load_model(tmp_path / "model", dtype="stored")
    assert again.controlnet is not None
    assert same(again.controlnet, controlnet)


def test_the_index_is_as_published(tiny_folder: Path) -> None:
    index = read_json(tiny_folder / "model_index.json")
    assert index["_class_name"] == "BlipDiffusionPipeline"
    assert index["qformer"] == ["blip_diffusion", "Blip2QFormerModel"]
    assert index["vae"] == ["diffusers", "AutoencoderKL"]


def test_a_tiny_autoencoder_is_saved_and_loaded_under_its_own_name(tiny: BlipDiffusion, tmp_path: Path) -> None:
    vae = AutoencoderTiny(encoder_block_out_channels=(4, 4), decoder_block_out_channels=(4, 4),
                          num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1))  # fmt: skip
    save_model(replace(tiny, vae=vae), tmp_path / "model")
    assert read_json(tmp_path / "model" / "model_index.json")["vae"] == ["diffusers", "AutoencoderTiny"]
    assert same(load_model(tmp_path / "model", dtype="stored").vae, vae)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_every_part_comes_in_the_dtype_asked_for_but_a_vae_never_in_float16(
    dtype: torch.dtype, tiny: BlipDiffusion, tiny_folder: Path
) -> None:
    model = load_model(tiny_folder, dtype=dtype)
    for part in ("subject_encoder", "text_encoder", "unet"):
        assert {value.dtype for value in getattr(model, part).parameters()} == {dtype}
    assert model.vae.dtype == (torch.float32 if dtype == torch.float16 else dtype)
    assert model.subject_fingerprint == tiny.subject_fingerprint


def test_old_names_of_the_vae_and_of_the_text_encoder_are_understood(tiny: BlipDiffusion, tiny_folder: Path) -> None:
    def to_old(tensors: dict[str, Tensor]) -> None:
        for name in [name for name in tensors if old_vae_name(name) != name]:
            value = tensors.pop(name)
            tensors[old_vae_name(name)] = value[:, :, None, None].contiguous() if value.ndim == 2 else value

    def without_prefix(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            tensors[name.removeprefix("text_model.")] = tensors.pop(name)
        tensors["embeddings.position_ids"] = torch.arange(20)[None]

    edit_weights(tiny_folder / "vae" / "diffusion_pytorch_model.safetensors", to_old)
    edit_weights(tiny_folder / "text_encoder" / "model.safetensors", without_prefix)
    again = load_model(tiny_folder, dtype="stored")
    assert same(again.vae, tiny.vae)
    assert same(again.text_encoder, tiny.text_encoder)


def test_bin_files_and_sharded_files_are_read(tiny: BlipDiffusion, tiny_folder: Path) -> None:
    for part in ("qformer/model", "unet/diffusion_pytorch_model"):
        path = tiny_folder / f"{part}.safetensors"
        tensors = load_file(path)
        path.unlink()
        if part.startswith("qformer"):
            torch.save(tensors, path.with_name("pytorch_model.bin"))
            continue
        names = sorted(tensors)
        shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
        for shard, held in shards.items():
            save_file({name: tensors[name] for name in held}, path.parent / shard)
        index = {"weight_map": {name: shard for shard, held in shards.items() for name in held}}
        write_json(path.with_name(f"{path.name}.index.json"), index)
    again = load_model(tiny_folder, dtype="stored")
    assert same(again.subject_encoder, tiny.subject_encoder)
    assert same(again.unet, tiny.unet)


def test_files_of_libraries_before_zip_archives_are_read(tiny: BlipDiffusion, tiny_folder: Path) -> None:
    path = tiny_folder / "qformer" / "model.safetensors"
    torch.save(load_file(path), path.with_name("pytorch_model.bin"), _use_new_zipfile_serialization=False)
    path.unlink()
    assert same(load_model(tiny_folder, dtype="stored").subject_encoder, tiny.subject_encoder)


def test_settings_of_the_index_and_of_the_photos_are_honoured(tiny_folder: Path) -> None:
    edit_json(tiny_folder / "model_index.json", ctx_begin_pos=3, mean=[0.1, 0.2, 0.3])
    edit_json(tiny_folder / "image_processor" / "preprocessor_config.json", image_std=[0.5, 0.6, 0.7])
    model = load_model(tiny_folder, dtype="stored")
    assert model.insert_at == 3
    assert (model.photo.mean, model.photo.std) == ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    edit_json(tiny_folder / "image_processor" / "preprocessor_config.json", size={"height": 224, "width": 224})
    with pytest.raises(CheckpointError, match="224 pixels a side"):
        load_model(tiny_folder, dtype="stored")


def test_the_trunks_eps_is_taken_from_the_file_or_said_aloud(tiny_folder: Path) -> None:
    path = tiny_folder / "qformer" / "config.json"
    config = read_json(path)
    config["vision_config"]["layer_norm_eps"] = 1e-6
    write_json(path, config)
    assert load_model(tiny_folder, dtype="stored").subject_encoder.sizes.vision.eps == 1e-6
    del config["vision_config"]["layer_norm_eps"]
    write_json(path, config)
    with pytest.warns(UserWarning, match="1e-5"):
        assert load_model(tiny_folder, dtype="stored").subject_encoder.sizes.vision.eps == 1e-5


def test_the_qformers_vocabulary_is_found_or_asked_for(tiny: BlipDiffusion, tiny_folder: Path, tmp_path: Path) -> None:
    (tiny_folder / "qformer_tokenizer").rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=r"Put its vocab\.txt into .*knows 60 words"):
        load_model(tiny_folder, dtype="stored")
    given = load_model(tiny_folder, qformer_tokenizer=tmp_path / "elsewhere", dtype="stored")
    assert given.category_tokenizer("dog").input_ids == tiny.category_tokenizer("dog").input_ids
    save_model(given, tmp_path / "complete")
    assert (
        load_model(tmp_path / "complete", dtype="stored").category_tokenizer("dog").input_ids
        == given.category_tokenizer("dog").input_ids
    )
    (tmp_path / "elsewhere").rename(tmp_path / "bert-base-uncased")
    assert (
        load_model(tiny_folder, dtype="stored").category_tokenizer("dog").input_ids
        == given.category_tokenizer("dog").input_ids
    )


def test_saving_over_an_earlier_copy_works_even_while_it_is_mapped(tiny: BlipDiffusion, tiny_folder: Path) -> None:
    mapped = load_model(tiny_folder, dtype="stored")
    save_model(mapped, tiny_folder)
    assert same(mapped.unet, tiny.unet)
    assert same(load_model(tiny_folder, dtype="stored").unet, tiny.unet)
    assert [entry.name for entry in tiny_folder.parent.iterdir()] == [tiny_folder.name]


def test_a_folder_with_other_things_is_never_replaced(tiny: BlipDiffusion, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "diary.txt").write_text("dear diary")
    with pytest.raises(OutputError, match=r"diary\.txt"):
        save_model(tiny, tmp_path / "home")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        save_model(tiny, tmp_path / "file" / "model")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "home"]
    assert (tmp_path / "home" / "diary.txt").read_text() == "dear diary"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_no_tensor_is_taken_from_its_file_again_and_again(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    taken, opened = Counter[tuple[Path, str]](), Counter[Path]()

    class Seen:
        """An open file that notes what is taken from it."""

        def __init__(self, path: Path, framework: str) -> None:
            self._path, self._file = path, safe_open(path, framework=framework)
            opened[path] += 1

        def __enter__(self) -> "Seen":
            return self

        def __exit__(self, *_error: object) -> None: ...

        def keys(self) -> list[str]:
            return list(self._file.keys())

        def get_tensor(self, name: str) -> torch.Tensor:
            taken[self._path, name] += 1
            return self._file.get_tensor(name)  # type: ignore[no-any-return]

    monkeypatch.setattr(weights, "safe_open", Seen)
    monkeypatch.setattr(weights, "_RELEASE_BYTES", 1_000)
    found = load_model(tiny_folder, dtype=dtype)
    assert max(taken.values()) == 2, "once for all shapes, once for its values"
    assert (max(opened.values()) > 5) == (dtype == "bfloat16"), "what is mapped for good is not mapped again"
    monkeypatch.undo()
    for mine, other in zip(
        found.unet.parameters(), load_model(tiny_folder, dtype=dtype).unet.parameters(), strict=True
    ):
        assert torch.equal(mine, other)
