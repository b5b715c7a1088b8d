"""What a weights file of another tool holds: told by the names and shapes of its tensors, or by its first bytes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

Family = Literal["lora", "checkpoint", "unet", "vae", "embedding", "control", "subject", "other"]

_SHOWN = {"1.5": "Stable Diffusion 1.5", "2": "Stable Diffusion 2", "XL": "Stable Diffusion XL"}
_WIDTHS = {1024: "2", 2048: "XL"}  # of the words that cross-attention reads; 768 is Stable Diffusion 1.5's
_INPUTS = {9: "an inpainting model", 8: "a model that edits by instructions", 5: "a model led by depth"}

# What no other kind of file has in its names; the first that fits.
_OTHERS = (
    (r"(^|\.)double_blocks\.|(^|\.)single_transformer_blocks\.|lora_unet_(double|single)_blocks", "FLUX"),
    (r"(^|\.)joint_blocks\.|lora_unet_joint_blocks", "Stable Diffusion 3"),
    (r"motion_modules\.", "AnimateDiff"),
    (r"^transformer\.|^lora_transformer_|^diffusion_model\.(layers|blocks)\.", "a transformer model"),
)
_PARTS = (
    (r"^ip_adapter\.|^image_proj\.|to_k_ip\.", "an IP-Adapter"),
    (r"^lllite_", "a ControlLLLite for Stable Diffusion XL"),
    (
        r"^controlnet_x_embedder\.|^controlnet_blocks\.|^controlnet_mode_embedder\.",
        "a ControlNet of a transformer model",
    ),
    (r"^task_embedding$|^control_add_embedding\.", "a ControlNet union for Stable Diffusion XL"),
    (r"^lora_controlnet$|^control_model\..*(\.up|\.down)$", "a Control-LoRA"),
    (r"^control_model\.|controlnet_cond_embedding\.|^input_hint_block\.", "a ControlNet"),
    (r"^adapter\.body\.|^(adapter\.)?body\.\d+\.resnets\.", "a T2I-Adapter"),
    (r"^model\.\d+\.(weight|bias|sub)|^conv_first\.|^body\.\d+\.rdb", "an upscaler"),
    (r"query_tokens|^Qformer\.|^blip\.", "BLIP-Diffusion's subject encoder"),
    (r"safety_checker\.|concept_embeds$", "a safety checker"),
    (r"^optimizer|exp_avg", "the state of a training"),
    (r"^(text_model|encoder|embeddings|final_layer_norm)\.?.*(self_attn|token_embedding)", "a text encoder"),
    (r"^vision_model\.|^visual\.", "an image encoder"),
)
_LYCORIS = ((r"\.hada_", "a LoHa"), (r"\.lokr_", "a LoKr"), (r"\.oft_|\.boft_", "an OFT"), (r"\.on_input$", "an (IA)3"))
_STARTS = (
    (b"GGUF", "a GGUF file, made smaller for other programs"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"RIFF", "a picture"),
    (b"Rar!", "a packed archive"),
    (b"7z\xbc\xaf", "a packed archive"),
    (b"\x1f\x8b", "a packed archive"),
    (b"\x08\x06\x12", "an ONNX file"),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file holds, and for which model: "1.5" is also what is told of those that nothing else is seen of."""

    family: Family
    base: str
    text: str  # "a LoRA for Stable Diffusion XL"

    @property
    def fits(self) -> bool:
        """Whether it is for Stable Diffusion 1.5, as far as its names tell."""
        return self.base == "1.5"


def kind_of(tensors: Mapping[str, Tensor]) -> Kind:
    """What these tensors are of."""
    joined, shapes = "\n".join(map(str, tensors)), {str(name): tuple(one.shape) for name, one in tensors.items()}
    lora = _lora(joined)
    other = _first(_OTHERS, joined)
    if other is not None:
        return Kind("lora" if lora else "other", other, f"{lora or 'a model'} for {other}" if lora else f"{other}")
    if lora is not None:
        base = _lora_base(joined, shapes)
        return Kind("lora", base, f"{lora} for {_SHOWN[base]}")
    if "model.diffusion_model." in joined or "conditioner.embedders." in joined:
        return _checkpoint(joined, shapes)
    embedding = _embedding(shapes)
    if embedding is not None:
        return embedding
    part = _first(_PARTS, joined)
    if part == "a ControlNet":
        return _control(joined, shapes)
    if part is not None:
        return Kind("other", "1.5", part)
    if re.search(r"^(input_blocks|down_blocks|time_embed)", joined, re.M):
        return _unet(joined, shapes, "", "a U-Net")
    if re.search(r"^(first_stage_model\.)?(encoder|decoder)\.(down|up|mid|conv_in|layers)", joined, re.M):
        return Kind("vae", "1.5", "a VAE")
    if re.search(r"^(decoder_)?\d+\.(weight|conv|bias)", joined, re.M):
        return Kind("vae", "1.5", "half of a tiny VAE")
    return Kind("other", "", f"a file of weights that are not known here, such as {next(iter(shapes), 'none')!r:.80}")


def by_its_start(path: Path) -> str | None:
    """What a file is that holds no weights at all, told by its first bytes; None where they do not tell."""
    with path.open("rb") as stream:
        start = stream.read(512)
    if not start:
        return "an empty file"
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page: the site answered the download with a page of its own"
    if text.startswith((b"{", b"[")) and start[8:9] != b"{":
        return "a text of JSON"
    return next((what for sign, what in _STARTS if start.startswith(sign)), None)


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors does, whatever its ending."""
    with path.open("rb") as stream:
        start = stream.read(9)
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") < 2**30


def _lora(joined: str) -> str | None:
    lycoris = _first(_LYCORIS, joined)
    if lycoris is not None:
        return lycoris
    found = re.search(r"lora_(up|down|A|B|linear_layer|mid)\b|_lora\.(up|down)|\.lora\.(up|down)|lora_(A|B)\.", joined)
    return "a LoRA" if found else None


def _lora_base(joined: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    if re.search(r"lora_te2_|^text_encoder_2\.|lora_unet_label_emb|lora_te1_", joined, re.M):
        return "XL"
    reads = [
        shape[1]
        for name, shape in shapes.items()
        if re.search(r"attn2.*to_(k|v).*(down|lora_A|hada_w1_b)", name) and len(shape) > 1
    ]
    return next((_WIDTHS[width] for width in reads if width in _WIDTHS), "1.5")


def _checkpoint(joined: str, shapes: Mapping[str, tuple[int, ...]]) -> Kind:
    if "conditioner.embedders." in joined:
        return Kind("checkpoint", "XL", "a checkpoint of Stable Diffusion XL")
    if "cond_stage_model.model." in joined:
        return Kind("checkpoint", "2", "a checkpoint of Stable Diffusion 2")
    found = _unet(joined, shapes, "model.diffusion_model.", "a checkpoint")
    return Kind("checkpoint", found.base, found.text)


def _unet(joined: str, shapes: Mapping[str, tuple[int, ...]], prefix: str, what: str) -> Kind:
    width = next((shape[-1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")), 0)
    base = "XL" if "label_emb." in joined or "add_embedding." in joined else _WIDTHS.get(width, "1.5")
    inputs = next(
        (shapes[name][1] for name in (f"{prefix}input_blocks.0.0.weight", "conv_in.weight") if name in shapes), 4
    )
    if base == "1.5" and inputs in _INPUTS:
        return Kind("unet", f"{inputs} inputs", f"{_INPUTS[inputs]} ({inputs} input channels, 4 are wanted)")
    return Kind("unet", base, f"{what} of {_SHOWN[base]}")


def _control(joined: str, shapes: Mapping[str, tuple[int, ...]]) -> Kind:
    width = next((shape[-1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")), 0)
    base = "XL" if "label_emb." in joined or "add_embedding." in joined else _WIDTHS.get(width, "1.5")
    return Kind("control", base, "a ControlNet" if base == "1.5" else f"a ControlNet for {_SHOWN[base]}")


def _embedding(shapes: Mapping[str, tuple[int, ...]]) -> Kind | None:
    if {"clip_g", "clip_l"} & set(shapes):
        return Kind("embedding", "XL", "an embedding for Stable Diffusion XL")
    if len(shapes) <= 8 and all(len(shape) in (1, 2) and not _dotted(name) for name, shape in shapes.items()):
        widths = {shape[-1] for shape in shapes.values()}
        base = next((_WIDTHS[width] for width in widths if width in _WIDTHS), "XL" if 1280 in widths else "1.5")
        return Kind("embedding", base, f"an embedding for {_SHOWN[base]}")
    return None


def _dotted(name: str) -> bool:
    return name.endswith((".weight", ".bias"))


def _first(signs: tuple[tuple[str, str], ...], joined: str) -> str | None:
    return next((what for sign, what in signs if re.search(sign, joined, re.M)), None)
