"""Configurations outside what a model can be: the field is named before anything is built."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from blipdiff.checkpoints import load_model
from blipdiff.checkpoints.configs import read_json, write_json
from blipdiff.checkpoints.controls import load_control
from blipdiff.errors import CheckpointError

QFORMER, TEXT, UNET, VAE = "qformer/config.json", "text_encoder/config.json", "unet/config.json", "vae/config.json"
SCHEDULER, INDEX = "scheduler/scheduler_config.json", "model_index.json"
PHOTO = "image_processor/preprocessor_config.json"
NAN, INF = float("nan"), float("inf")


def change(folder: Path, name: str, **changes: Any) -> None:
    """Changes fields of one file; `a__b` is the field b of the part a."""
    config = read_json(folder / name)
    for key, value in changes.items():
        *parts, field = key.split("__")
        inner = config
        for part in parts:
            inner = inner[part]
        inner[field] = value
    write_json(folder / name, config)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        (TEXT, "hidden_size", INF),
        (TEXT, "hidden_size", 0),
        (TEXT, "hidden_size", 16.5),
        (TEXT, "hidden_size", True),
        (TEXT, "num_hidden_layers", 10**7),
        (TEXT, "num_hidden_layers", -1),
        (TEXT, "num_attention_heads", -2),
        (TEXT, "vocab_size", 10**30),
        (TEXT, "layer_norm_eps", NAN),
        (TEXT, "hidden_act", "swish"),
        (TEXT, "hidden_act", ["gelu"]),
        (TEXT, "intermediate_size", "32"),
        (QFORMER, "num_query_tokens", 0),
        (QFORMER, "num_query_tokens", "four"),
        (QFORMER, "qformer_config__num_hidden_layers", 10**7),
        (QFORMER, "qformer_config__num_attention_heads", 0),
        (QFORMER, "vision_config__patch_size", 0),
        (QFORMER, "vision_config__image_size", [32, -32]),
        (QFORMER, "vision_config__layer_norm_eps", -1.0),
        (UNET, "layers_per_block", 10**7),
        (UNET, "layers_per_block", [1, INF]),
        (UNET, "transformer_layers_per_block", 10**7),
        (UNET, "attention_head_dim", -2),
        (UNET, "block_out_channels", [8, NAN]),
        (UNET, "block_out_channels", [8] * 100),
        (UNET, "block_out_channels", []),
        (UNET, "down_block_types", ["CrossAttnDownBlock2D", "AttnSkipDownBlock2D"]),
        (UNET, "norm_num_groups", 0),
        (UNET, "sample_size", 10**9),
        (UNET, "sample_size", INF),
        (UNET, "class_embed_type", "timestep"),
        (UNET, "addition_embed_type", "text_time"),
        (UNET, "act_fn", 3),
        (VAE, "scaling_factor", 0),
        (VAE, "scaling_factor", NAN),
        (VAE, "shift_factor", 0.1),
        (VAE, "latents_mean", [0.1] * 4),
        (VAE, "layers_per_block", 10**7),
        (VAE, "in_channels", 1),
        (SCHEDULER, "num_train_timesteps", 10**10),
        (SCHEDULER, "num_train_timesteps", 0),
        (SCHEDULER, "num_train_timesteps", 2.5),
        (SCHEDULER, "beta_start", -1.0),
        (SCHEDULER, "beta_end", INF),
        (SCHEDULER, "beta_schedule", "unknown"),
        (SCHEDULER, "trained_betas", [0.1, NAN]),
        (SCHEDULER, "prediction_type", ["epsilon"]),
        (SCHEDULER, "timestep_spacing", "backwards"),
        (SCHEDULER, "steps_offset", -3),
        (SCHEDULER, "steps_offset", 1000),
        (INDEX, "ctx_begin_pos", 10**9),
        (INDEX, "ctx_begin_pos", True),
        (INDEX, "guidance_scale", NAN),
        (INDEX, "std", [0.0, 0.5, 0.5]),
        (PHOTO, "size__height", 10**7),
        (PHOTO, "image_mean", [0.5, INF, 0.5]),
    ],
)
def test_a_field_outside_its_range_is_named(name: str, field: str, value: Any, tiny_folder: Path) -> None:
    change(tiny_folder, name, **{field: value})
    with pytest.raises(CheckpointError, match=f"'{field.rsplit('__', maxsplit=1)[-1]}'"):
        load_model(tiny_folder)


@pytest.mark.parametrize(("given", "side"), [(None, 64), ([8, 8], 8), (8.0, 8)])
def test_a_unets_own_size_is_one_number(given: Any, side: int, tiny_folder: Path) -> None:
    change(tiny_folder, UNET, sample_size=given)
    assert load_model(tiny_folder).unet.config.sample_size == side
    change(tiny_folder, UNET, sample_size=[8, 16])
    with pytest.raises(CheckpointError, match="sides must be equal"):
        load_model(tiny_folder)


def test_a_scheduler_of_another_kind_is_named(tiny_folder: Path) -> None:
    for kind in ("KarrasVeScheduler", "UNet2DConditionModel", "no such", None, 3, ["PNDMScheduler"], "x" * 10_000):
        change(tiny_folder, SCHEDULER, _class_name=kind)
        with pytest.raises(CheckpointError, match="scheduler is"):
            load_model(tiny_folder)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        (TEXT, {"num_attention_heads": 3}, "3 attention heads for a width of 16"),
        (QFORMER, {"qformer_config__encoder_hidden_size": 1024}, "width 1024, the vision trunk's are 12"),
        (QFORMER, {"vision_config__patch_size": 64}, "larger than its picture"),
        (QFORMER, {"vision_config__image_size": [32, 64]}, "sides must be equal"),
        (TEXT, {"num_hidden_layers": 100}, "asks for 100 layers or more, its weights hold 36 tensors"),
        (UNET, {"layers_per_block": 128}, "asks for 257 layers or more"),
        (VAE, {"layers_per_block": 128}, "asks for 128 layers or more"),
        (UNET, {"norm_num_groups": 5}, "configuration of the U-Net"),
        (SCHEDULER, {"trained_betas": [0.1, 0.2]}, "2 'trained_betas' for 1000"),
        (INDEX, {"ctx_begin_pos": 18}, "has room for"),
    ],
)
def test_fields_that_contradict_each_other_are_told(name: str, changes: Any, words: str, tiny_folder: Path) -> None:
    change(tiny_folder, name, **changes)
    with pytest.raises(CheckpointError, match=words):
        load_model(tiny_folder)


def test_parts_of_different_models_are_told(tiny_folder: Path) -> None:
    path = tiny_folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    change(tiny_folder, VAE, latent_channels=3)
    for name in list(tensors):
        if name.startswith(("quant_conv", "post_quant_conv", "encoder.conv_out", "decoder.conv_in")):
            shape = [{8: 6, 4: 3}.get(n, n) if axis < 2 else n for axis, n in enumerate(tensors[name].shape)]
            if name.startswith("encoder.conv_out"):
                shape[0] = 6
                shape[1:] = tensors[name].shape[1:]
            if name.startswith("decoder.conv_in"):
                shape = [tensors[name].shape[0], *([3] if tensors[name].ndim > 1 else []), *tensors[name].shape[2:]]
            tensors[name] = torch.zeros(shape)
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match="latents of channels 4, the VAE makes 3"):
        load_model(tiny_folder)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_weights_of_an_odd_kind_are_named(dtype: torch.dtype, tiny_folder: Path) -> None:
    path = tiny_folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["conv_in.bias"] = tensors["conv_in.bias"].to(dtype)
    try:
        save_file(tensors, path)
    except KeyError:  # complex numbers, before version 0.6
        pytest.skip("this version of safetensors writes none")
    with pytest.raises(CheckpointError, match=r"kind that is not read here: conv_in\.bias"):
        load_model(tiny_folder)


@pytest.mark.parametrize("odd", ["sparse", "spread", "meta", "key"])
def test_tensors_that_are_not_numbers_in_the_file_are_named(odd: str, tiny_folder: Path) -> None:
    value: dict[str, Any] = {
        "sparse": torch.eye(8).to_sparse(),
        "spread": torch.zeros(1).expand(2**34),
        "meta": torch.zeros(8, device="meta"),
    }
    (tiny_folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    stored = {7: torch.zeros(2)} if odd == "key" else {"conv_in.bias": value[odd]}
    torch.save(stored, tiny_folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"diffusion_pytorch_model\.bin"):
        load_model(tiny_folder)


def test_words_beyond_the_tables_are_told(tiny_folder: Path) -> None:
    marks = tiny_folder / "tokenizer" / "tokenizer_config.json"
    whole = marks.read_text()
    for name in ("bos_token", "pad_token"):
        write_json(marks, read_json(marks) | {name: "<|not a word of the vocabulary|>"})
        with pytest.raises(CheckpointError, match="tokenizer of the prompts knows tokens up to number 56"):
            load_model(tiny_folder)
        marks.write_text(whole)
    with (tiny_folder / "qformer_tokenizer" / "vocab.txt").open("a") as file:
        file.write("more\nwords\n")
    (tiny_folder / "qformer_tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="tokenizer of the categories knows tokens up to number 60"):
        load_model(tiny_folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer/tokenizer.json", "{"),
        ("tokenizer/tokenizer.json", '{"version": "1.0"}'),
        ("tokenizer/tokenizer_config.json", "[]"),
        ("qformer_tokenizer/tokenizer.json", "null"),
        ("qformer_tokenizer/tokenizer_config.json", '{"model_max_length": "x", "added_tokens_decoder": 3}'),
    ],
)
def test_a_damaged_tokenizer_is_named(name: str, content: str, tiny_folder: Path) -> None:
    (tiny_folder / name).write_text(content)
    with pytest.raises(CheckpointError, match=Path(name).parent.name):
        load_model(tiny_folder)


def test_json_that_no_reader_can_hold_is_refused(tiny_folder: Path) -> None:
    for content in (b"[" * 10**5, b'{"a":' * 10**5, b"9" * 5000, b"\xff\xfe", b"{}" + b" " * (17 * 2**20), b"null"):
        (tiny_folder / "unet" / "config.json").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"config\.json"):
            load_model(tiny_folder)
    whole = (tiny_folder / "vae" / "config.json").read_bytes()
    (tiny_folder / "vae" / "config.json").write_bytes(b"\xef\xbb\xbf" + whole)  # a mark that some editors write
    (tiny_folder / "unet" / "config.json").unlink()
    with pytest.raises(CheckpointError, match="missing"):
        load_model(tiny_folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [("layers_per_block", 10**7), ("conditioning_embedding_out_channels", None), ("conditioning_channels", NAN)],
)
def test_a_controlnets_field_is_named(field: str, value: Any, controlnet: Any, tmp_path: Path) -> None:
    controlnet.save_pretrained(tmp_path / "net")
    load_control(tmp_path / "net")
    change(tmp_path / "net", "config.json", **{field: value})
    with pytest.raises(CheckpointError, match=f"'{field}' in the ControlNet's config.json"):
        load_control(tmp_path / "net")
