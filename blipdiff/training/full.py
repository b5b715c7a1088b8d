"""Full-size training: its recipes, the networks that it begins with, and the memory that it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from blipdiff.attention.taps import tapped
from blipdiff.checkpoints import configs, load_model
from blipdiff.checkpoints.configs import read_json
from blipdiff.checkpoints.describer import load_describer
from blipdiff.checkpoints.parts import load_part, load_text_encoder, load_vae
from blipdiff.checkpoints.vocabularies import prompt_tokenizer
from blipdiff.diffusers_types import VAE
from blipdiff.errors import ConfigError
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.context_text_encoder import ContextTextEncoder
from blipdiff.models.identity import fingerprint
from blipdiff.models.representation import Representation
from blipdiff.models.sizes import QFormerSizes, SubjectEncoderSizes, TextSizes
from blipdiff.models.subject_encoder import SubjectEncoder
from blipdiff.models.tokenizers import load_category_tokenizer
from blipdiff.sampling.adapted import clean_states, seen_of
from blipdiff.training.config import section_of, value_of
from blipdiff.training.details import AdaptedNetworks, empty_adapter
from blipdiff.training.memory import MemoryPlan, kept_bytes, plan_memory
from blipdiff.training.pretrained import begin_with_bert, begin_with_clip
from blipdiff.training.sections import DetailRecipe, RepresentationRecipe, SubjectRecipe
from blipdiff.training.stage2 import SubjectNetworks
from blipdiff.transformers_types import BertTokenizer


@dataclass(frozen=True, slots=True)
class StartRecipe:
    """Folders of the weights that a training begins with; which of them are needed depends on the stage."""

    clip: str = ""
    bert: str = ""
    representation: str = ""
    stable_diffusion: str = ""
    blip_diffusion: str = ""


@dataclass(frozen=True, slots=True)
class DataRecipe:
    """The shards, pictures to put subjects on, and the side of the targets.

    shards: a folder, or addresses (`blipdiff.data.fetched_shards.addresses`); window: from how many fetched shards at a
    time samples are drawn, 0 for all; cache: a folder of this machine for them, else one of the run's
    """

    shards: str
    window: int = 16
    cache: str = ""
    backgrounds: str = ""
    picture: int = 512


@dataclass(frozen=True, slots=True)
class HardwareRecipe:
    """What the recipe is meant for: it decides the memory that a dry run tells, and whether networks are sharded."""

    processes: int = 1
    memory_gigabytes: float = 40.0
    shard: bool = False
    loaders: int = 4


@dataclass(frozen=True, slots=True)
class FullRecipe:
    """One training file of the full size: exactly one of the stages."""

    name: str
    seed: int
    start: StartRecipe
    data: DataRecipe
    hardware: HardwareRecipe
    representation: RepresentationRecipe | None = None
    subject: SubjectRecipe | None = None
    detail: DetailRecipe | None = None


STAGES: dict[str, type] = {
    "representation": RepresentationRecipe,
    "subject": SubjectRecipe,
    "detail": DetailRecipe,
}


def full_recipe(table: Mapping[str, Any], source: str) -> FullRecipe:
    """A recipe from a parsed table, every key checked.

    Raises: ConfigError for an unknown, missing or malformed key, and for none or both of the stages.
    """
    known = {item.name for item in fields(FullRecipe)}
    needed = {"name", "seed", "start", "data", "hardware"}
    unknown, absent = sorted(set(table) - known), sorted(needed - set(table))
    if unknown or absent:
        raise ConfigError(f"The recipe {source} has unknown keys {unknown} and lacks {absent}.")
    if sum(name in table for name in STAGES) != 1:
        raise ConfigError(f"The recipe {source} needs one of the sections [representation], [subject] and [detail].")
    stages: dict[str, Any] = {
        name: section_of(kind, table[name], f"{source} [{name}]") for name, kind in STAGES.items() if name in table
    }
    hardware = section_of(HardwareRecipe, table["hardware"], f"{source} [hardware]")
    if hardware.shard and "subject" not in table:
        raise ConfigError(f"{source} [hardware]: shard is for the subject's stage; the others train no U-Net and fit.")
    return FullRecipe(
        name=str(table["name"]),
        seed=value_of(int, table["seed"], f"{source}: seed"),
        start=section_of(StartRecipe, table["start"], f"{source} [start]"),
        data=section_of(DataRecipe, table["data"], f"{source} [data]"),
        hardware=hardware,
        **stages,
    )


@dataclass(frozen=True, slots=True)
class SubjectStart:
    """What stage 2 trains, and what stands beside it."""

    networks: SubjectNetworks
    model: BlipDiffusion  # the same networks with tokenizers, VAE and settings: what is saved at the end


def begin_representation(
    recipe: RepresentationRecipe, start: StartRecipe, seed: int
) -> tuple[Representation, BertTokenizer]:
    """The Q-Former from BERT and the trunk from CLIP, with BERT's words.

    Raises: CheckpointError where a folder does not hold what it should, ConfigError where one is not given.
    """
    bert, clip = (_given(start, name) for name in ("bert", "clip"))
    words = load_category_tokenizer(bert)
    sizes = sizes_from(read_json(bert / "config.json"), read_json(clip / "config.json"), len(words))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Representation(sizes, recipe.shared_width)
    begin_with_bert(network, bert)
    begin_with_clip(network, clip)
    return network, words


def sizes_from(bert: Mapping[str, Any], clip: Mapping[str, Any], vocabulary: int) -> SubjectEncoderSizes:
    """The sizes that BERT's and CLIP's configurations say: CLIP's last block is dropped."""
    seen = clip.get("vision_config", clip)
    known = configs.subject_encoder_sizes(
        {
            "vision_config": {"layer_norm_eps": 1e-5, "hidden_act": "quick_gelu"} | dict(seen),
            "qformer_config": dict(bert) | {"vocab_size": vocabulary},
            "num_query_tokens": QFormerSizes().queries,
        }
    )
    return replace(known, vision=replace(known.vision, depth=known.vision.depth - 1))


def begin_subject(start: StartRecipe, name: str) -> SubjectStart:
    """A whole checkpoint's networks, or those of stage 1 beside Stable Diffusion's; trunk and VAE will not learn.

    Raises: CheckpointError where a folder does not hold what it should, ConfigError where none is given.
    """
    if start.blip_diffusion:
        model = load_model(start.blip_diffusion, dtype=torch.float32)
        networks = SubjectNetworks(model.subject_encoder, model.text_encoder, model.unet)
        return SubjectStart(_prepared(networks, model.vae), model)
    folder = _given(start, "stable_diffusion")
    describer = load_describer(_given(start, "representation"))
    encoder = SubjectEncoder(describer.network.sizes)
    describer.network.give(encoder)
    text = load_text_encoder(folder / "text_encoder", torch.float32)
    unet = load_part(folder / "unet", UNet2DConditionModel, "U-Net", torch.float32)
    vae = load_vae(folder / "vae", torch.float32)
    model = BlipDiffusion(
        subject_encoder=encoder,
        text_encoder=text,
        prompt_tokenizer=prompt_tokenizer(folder),
        category_tokenizer=describer.tokenizer,
        unet=unet,
        vae=vae,
        scheduler_config=read_json(folder / "scheduler" / "scheduler_config.json"),
        photo=describer.photo,
        subject_fingerprint=fingerprint(encoder.state_dict()),
        name=name,
    )
    return SubjectStart(_prepared(SubjectNetworks(encoder, text, unet), vae), model)


def encoder_of(vae: VAE) -> Any:
    """Pictures (n, 3, H, W) in [-1, 1] -> the mean of their latents, scaled as the U-Net sees them."""

    def encode(pictures: Tensor) -> Tensor:
        found = vae.encode(pictures.to(vae.dtype))
        latents = found.latents if hasattr(found, "latents") else found.latent_dist.mode()
        return (latents * vae.config.scaling_factor).float()  # type: ignore[no-any-return]

    return encode


def dry_run(recipe: FullRecipe) -> MemoryPlan:
    """The memory of one process at the published size, from shapes alone: nothing is read and nothing computed."""
    shards = recipe.hardware.processes if recipe.hardware.shard else 1
    with torch.device("meta"):
        if recipe.representation is not None:
            return _dry_representation(recipe.representation)
        if recipe.detail is not None:
            return _dry_detail(recipe.detail, recipe.data.picture)
        if recipe.subject is None:
            raise ConfigError("The recipe has no stage.")
        return _dry_subject(recipe.subject, recipe.data.picture, shards)


def _dry_representation(recipe: RepresentationRecipe) -> MemoryPlan:
    network = Representation(SubjectEncoderSizes(), recipe.shared_width)
    network.visual_encoder.requires_grad_(recipe.train_trunk)
    sizes, n = network.sizes, recipe.batch
    half = Representation(sizes, recipe.shared_width).to(torch.bfloat16)
    half.visual_encoder.requires_grad_(recipe.train_trunk)
    ids = torch.zeros(n, recipe.text_tokens, dtype=torch.long)
    patches = torch.empty(3 * n, sizes.vision.patches, sizes.vision.width, dtype=torch.bfloat16)

    def forward() -> tuple[Tensor, ...]:
        thrice = torch.cat([ids] * 3)
        return (
            half.itg(patches[:n], ids, ids)[1],
            half.text_features(ids, ids),
            half.itm(patches, thrice, thrice),
        )

    return plan_memory(network, (), kept_bytes(forward, half, checkpointing=recipe.checkpointing))


def _dry_subject(recipe: SubjectRecipe, picture: int, shards: int) -> MemoryPlan:
    networks = _full_networks()
    half = _full_networks().to(torch.bfloat16)
    n, side = recipe.batch, picture // 8
    words = TextSizes().positions - QFormerSizes().queries
    batch = {
        "category_ids": torch.zeros(n, recipe.category_tokens, dtype=torch.long),
        "category_mask": torch.ones(n, recipe.category_tokens, dtype=torch.long),
        "short_ids": torch.zeros(n, words, dtype=torch.long),
        "long_ids": torch.zeros(0, TextSizes().positions, dtype=torch.long),
    }
    noised = torch.empty(n, 4, side, side, dtype=torch.bfloat16)
    photos = torch.empty(n, 3, 224, 224, dtype=torch.bfloat16)
    times = torch.zeros(n, dtype=torch.long)
    activations = kept_bytes(lambda: half(noised, times, photos, batch)[0], half, checkpointing=recipe.checkpointing)
    return plan_memory(networks, (AutoencoderKL(**configs.SD15_VAE),), activations, shards=shards)


def _dry_detail(recipe: DetailRecipe, picture: int) -> MemoryPlan:
    networks, half = _adapted_networks(recipe), _adapted_networks(recipe).to(torch.bfloat16)
    n, side, width = recipe.batch, picture // 8, TextSizes().width
    noised = torch.empty(n, 4, side, side, dtype=torch.bfloat16)
    words = torch.empty(n, TextSizes().positions, width, dtype=torch.bfloat16)
    times = torch.zeros(n, dtype=torch.long)

    def forward() -> Tensor:
        with torch.no_grad():
            states = clean_states(half.unet, half.adapter, noised, words)
            seen = seen_of(states, noised, torch.ones(n, side, side))
        predicted: Tensor = half(noised, times, words, seen, torch.ones(n))
        return predicted

    with tapped(half.unet):
        activations = kept_bytes(forward, half, checkpointing=recipe.checkpointing)
    beside = (AutoencoderKL(**configs.SD15_VAE), SubjectEncoder(SubjectEncoderSizes()), ContextTextEncoder(TextSizes()))
    return plan_memory(networks, beside, activations)


def _adapted_networks(recipe: DetailRecipe) -> AdaptedNetworks:
    unet = UNet2DConditionModel.from_config(dict(configs.SD15_UNET))
    unet.requires_grad_(recipe.unet)
    return AdaptedNetworks(unet, empty_adapter(unet))


def _full_networks() -> SubjectNetworks:
    unet = UNet2DConditionModel.from_config(dict(configs.SD15_UNET))
    networks = SubjectNetworks(SubjectEncoder(SubjectEncoderSizes()), ContextTextEncoder(TextSizes()), unet)
    networks.subject_encoder.visual_encoder.requires_grad_(False)
    return networks


def _prepared(networks: SubjectNetworks, vae: VAE) -> SubjectNetworks:
    networks.train().requires_grad_(True)
    networks.subject_encoder.visual_encoder.requires_grad_(False)
    vae.requires_grad_(False)
    return networks


def _given(start: StartRecipe, name: str) -> Path:
    value = getattr(start, name)
    if not value:
        raise ConfigError(f"The recipe's [start] needs '{name}', the folder of its weights.")
    return Path(value)
