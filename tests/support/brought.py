"""Files for the tiny model as people bring them: LoRAs in every naming, checkpoints, embeddings, VAEs."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.sampling.schedulers import build_scheduler
from pipelines import BlipDiffusionPipeline
from tests.support.face import quiet
from tests.support.original_names import to_ldm_unet, to_ldm_vae

Factors = dict[tuple[str, str], tuple[Tensor, Tensor]]  # net and layer -> down, up

RANK, ALPHA = 2, 3.0
_OLD = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}


def nets_of(model: BlipDiffusion) -> dict[str, nn.Module]:
    return {"unet": model.unet, "text_encoder": model.text_encoder}


def factors(
    model: BlipDiffusion, *, ends: tuple[str, ...] = ("to_q", "to_v", "to_out.0", "q_proj", "v_proj", "out_proj")
) -> Factors:
    """Random halves for the layers whose names end so."""
    generator = torch.Generator().manual_seed(3)
    found: Factors = {}
    for net, module in nets_of(model).items():
        for name, layer in module.named_modules():
            if name.endswith(ends) and isinstance(layer, nn.Linear | nn.Conv2d):
                weight = layer.weight
                up = (weight.shape[0], RANK, *(1,) * (weight.ndim - 2))
                down = torch.randn((RANK, *weight.shape[1:]), generator=generator)
                found[net, name] = down, 0.3 * torch.randn(up, generator=generator)
    return found


def by_hand(model: BlipDiffusion, given: Factors, scale: float) -> dict[tuple[str, str], Tensor]:
    """What each layer's weight is with the LoRA merged."""
    merged = {}
    for (net, name), (down, up) in given.items():
        weight = nets_of(model)[net].get_submodule(name).weight.detach()
        merged[net, name] = weight + scale * (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
    return merged


def write_kohya(given: Factors, path: Path, metadata: Mapping[str, str] | None = None) -> Path:
    tensors = {}
    for (net, name), (down, up) in given.items():
        stem = f"{'lora_unet' if net == 'unet' else 'lora_te'}_{name.replace('.', '_')}"
        tensors |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
        tensors[f"{stem}.alpha"] = torch.tensor(ALPHA)
    save_file(tensors, path, metadata=dict(metadata or {}))
    return path


def write_diffusers(given: Factors, path: Path) -> Path:
    """As diffusers' training scripts save one today, its settings in the file's metadata."""
    tensors = {}
    for (net, name), (down, up) in given.items():
        tensors |= {f"{net}.{name}.lora_A.weight": down, f"{net}.{name}.lora_B.weight": up}
    told = {f"{net}.{key}": value for net in ("unet", "text_encoder") for key, value in _settings(given, net).items()}
    save_file(tensors, path, metadata={"lora_adapter_metadata": json.dumps(told)})
    return path


def write_old_diffusers(given: Factors, path: Path) -> Path:
    """As its scripts saved one before PEFT: alpha is the rank."""
    tensors = {}
    for (net, name), (down, up) in given.items():
        before, last = name.removesuffix(".0").rsplit(".", 1)
        stem = f"{net}.{before}.processor.{last}_lora" if net == "unet" else f"{net}.{name}.lora_linear_layer"
        tensors |= {f"{stem}.down.weight": down, f"{stem}.up.weight": up}
    save_file(tensors, path)
    return path


def write_peft(given: Factors, folder: Path) -> Path:
    """As PEFT saves the adapter of a network."""
    folder.mkdir()
    tensors = {}
    for (_, name), (down, up) in given.items():
        tensors |= {f"base_model.model.{name}.lora_A.weight": down, f"base_model.model.{name}.lora_B.weight": up}
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", **_settings(given, "unet")}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def _settings(given: Factors, net: str) -> dict[str, object]:
    targets = sorted({name for of, name in given if of == net})
    return {"r": RANK, "lora_alpha": ALPHA, "target_modules": targets, "use_rslora": False}


def sd_pipeline(model: BlipDiffusion) -> StableDiffusionPipeline:
    """diffusers' own Stable Diffusion of the same U-Net, text encoder, VAE and tokenizer, as copies."""
    sizes = model.text_encoder.sizes
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=sizes.vocabulary,
            hidden_size=sizes.width,
            intermediate_size=sizes.mlp_width,
            num_hidden_layers=sizes.depth,
            num_attention_heads=sizes.heads,
            max_position_embeddings=sizes.positions,
            hidden_act=sizes.activation,
            layer_norm_eps=sizes.eps,
            bos_token_id=model.prompt_tokenizer.bos_token_id,
            eos_token_id=model.prompt_tokenizer.eos_token_id,
        )
    ).eval()
    stored = model.text_encoder.state_dict()
    flat = {name.removeprefix("text_model."): value for name, value in stored.items()}
    text.load_state_dict(stored if hasattr(text, "text_model") else flat, strict=False)
    tokenizer = copy.deepcopy(model.prompt_tokenizer)
    tokenizer.model_max_length = sizes.positions
    pipe = StableDiffusionPipeline(
        vae=copy.deepcopy(model.vae),
        text_encoder=text,
        tokenizer=tokenizer,
        unet=copy.deepcopy(model.unet),
        scheduler=build_scheduler(None, model.scheduler_config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.scheduler = build_scheduler(None, model.scheduler_config)  # the constructor changes steps_offset
    pipe.set_progress_bar_config(disable=True)
    return pipe


@torch.no_grad()
def same_pictures(model: BlipDiffusion, pipe: StableDiffusionPipeline, prompt: str, negative: str = "") -> float:
    """The largest difference of two pictures, from 0 to 1: ours, without a subject, and diffusers' own."""
    own = quiet(BlipDiffusionPipeline.from_model(model))
    shape = (1, int(model.unet.config.in_channels), 8, 8)
    start = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    shared = {"latents": start, "num_inference_steps": 3, "guidance_scale": 5.0, "output_type": "pt"}
    embeds = {
        "prompt_embeds": model.encode_prompts([prompt]).embeddings,
        "negative_prompt_embeds": model.encode_prompts([negative]).embeddings,
    }
    ours = own(**embeds, **shared).images
    theirs = pipe(prompt, negative_prompt=negative, **shared).images
    assert bool((ours - ours.mean()).abs().max() > 0.05)  # a picture, not a grey field
    return float((ours - theirs).abs().max())


# Checkpoints


def sd_tensors(model: BlipDiffusion, shift: float = 0.0) -> dict[str, dict[str, Tensor]]:
    """A Stable Diffusion of the model's sizes: its weights, each a little moved."""
    generator = torch.Generator().manual_seed(11)
    nets = {"unet": model.unet, "text_encoder": model.text_encoder, "vae": model.vae}
    return {
        part: {
            name: value + shift * torch.randn(value.shape, generator=generator)
            for name, value in net.state_dict().items()
        }
        for part, net in nets.items()
    }


def write_checkpoint(parts: Mapping[str, Mapping[str, Tensor]], path: Path, layers: int = 1) -> Path:
    """One file as the original Stable Diffusion's: .safetensors, or a pickled .ckpt under `state_dict`."""
    unet = to_ldm_unet(parts["unet"], layers)
    tensors = {f"model.diffusion_model.{name}": value for name, value in unet.items()}
    tensors |= {f"cond_stage_model.transformer.{name}": value for name, value in parts.get("text_encoder", {}).items()}
    if "text_encoder" in parts:
        tensors["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(24)[None]
    tensors |= (
        {f"first_stage_model.{name}": one for name, one in to_ldm_vae(parts.get("vae") or {}).items()}
        if (parts.get("vae"))
        else {}
    )
    tensors |= {"alphas_cumprod": torch.rand(10), "model_ema.num_updates": torch.tensor(3)}
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    if path.suffix == ".ckpt":
        torch.save({"state_dict": tensors, "epoch": 1, "global_step": 2}, path)
    else:
        save_file(tensors, path)
    return path


def write_sd_folder(model: BlipDiffusion, parts: Mapping[str, Mapping[str, Tensor]], folder: Path) -> Path:
    """A folder in diffusers' layout, with a card that tells the licence."""
    pipe = sd_pipeline(model)
    pipe.unet.load_state_dict(dict(parts["unet"]))
    stored = parts["text_encoder"]
    flat = {name.removeprefix("text_model."): value for name, value in stored.items()}
    pipe.text_encoder.load_state_dict(dict(stored) if hasattr(pipe.text_encoder, "text_model") else flat, strict=False)
    pipe.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: creativeml-openrail-m\n---\nA look.\n")
    return folder


# Embeddings


def vectors(width: int = 16, count: int = 3) -> Tensor:
    return torch.randn((count, width), generator=torch.Generator().manual_seed(7))


def write_embedding(path: Path, rows: Tensor, word: str = "<cat-toy>") -> Path:
    """As A1111 (.pt, .safetensors) or diffusers (learned_embeds) writes one; the name tells which."""
    if path.name.startswith("learned_embeds"):
        tensors = {word: rows[0] if len(rows) == 1 else rows}
        save_file(tensors, path) if path.suffix == ".safetensors" else torch.save(tensors, path)
    elif path.suffix == ".safetensors":
        save_file({"emb_params": rows}, path)
    else:
        kept = {"string_to_token": {"*": 265}, "string_to_param": {"*": rows.requires_grad_()}, "name": word, "step": 9}
        torch.save({**kept, "sd_checkpoint": "aa", "sd_checkpoint_name": "bb"}, path)
    return path


# IP-Adapters


def write_ip_adapter(model: BlipDiffusion, folder: Path, *, name: str = "ip-adapter_sd15.safetensors") -> Path:
    """As h94/IP-Adapter has one: two parts in one file, its image encoder in a folder beside it."""
    generator = torch.Generator().manual_seed(13)
    width, seen, tokens = int(model.unet.config.cross_attention_dim), 12, 4

    def random(*shape: int) -> Tensor:
        return 0.3 * torch.randn(shape, generator=generator)

    parts = {"image_proj": {"proj.weight": random(tokens * width, seen), "proj.bias": random(tokens * width)}}
    parts["image_proj"] |= {"norm.weight": torch.ones(width), "norm.bias": torch.zeros(width)}
    parts["ip_adapter"] = {}
    crossing = [one for one in model.unet.attn_processors if "attn2" in one]
    for number, one in enumerate(crossing):
        inner = model.unet.get_submodule(one.removesuffix(".processor")).to_k.out_features
        for half in ("to_k_ip", "to_v_ip"):
            parts["ip_adapter"][f"{2 * number + 1}.{half}.weight"] = 3 * random(inner, width)
    folder.mkdir(parents=True, exist_ok=True)
    flat = {f"{part}.{key}": value for part, inner in parts.items() for key, value in inner.items()}
    save_file(flat, folder / name) if name.endswith(".safetensors") else torch.save(parts, folder / name)
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPVisionConfig(**sizes, image_size=16, patch_size=8, projection_dim=seen, initializer_factor=8.0)
    CLIPVisionModelWithProjection(config).eval().save_pretrained(folder / "image_encoder")
    return folder / name
