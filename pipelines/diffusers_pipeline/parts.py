"""The components of the diffusers face: registered, loaded, saved, identified, and their memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import DiffusionPipeline
from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel

from blipdiff.checkpoints import Additions, load_model, save_model
from blipdiff.checkpoints.archives import ARCHIVES
from blipdiff.checkpoints.detect import is_file
from blipdiff.devices import STORED, AskedDtype, Placement, dtype_for, placement, runs_on
from blipdiff.diffusers_types import VAE, ControlNet, UNet
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.images import PhotoSettings
from blipdiff.models.added_words import WordsTokenizer
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.context_text_encoder import ContextTextEncoder
from blipdiff.models.detail_adapter import DetailAdapter
from blipdiff.models.identity import Addition, fingerprint
from blipdiff.models.step_tables import StepTables
from blipdiff.models.subject_encoder import SubjectEncoder
from blipdiff.ranges import USUAL_GUIDANCE
from blipdiff.sampling.acceleration import accelerate
from blipdiff.sampling.openvino_engine.engine import Engine
from blipdiff.sampling.schedulers import Scheduler, build_scheduler
from blipdiff.transformers_types import BertTokenizer, CLIPTokenizer
from pipelines.diffusers_pipeline.arguments import either
from pipelines.diffusers_pipeline.embeddings import EmbeddingParts
from pipelines.diffusers_pipeline.engines import EngineParts
from pipelines.diffusers_pipeline.ip_adapters import IpAdapterParts
from pipelines.diffusers_pipeline.loading import Loading
from pipelines.diffusers_pipeline.loras import LoraParts
from pipelines.diffusers_pipeline.running import Calls

_ORIGIN = "blipdiff_origin"  # an attribute of the U-Net
_COMPONENTS = (
    *("tokenizer", "text_encoder", "vae", "unet", "scheduler", "qformer", "image_processor", "qformer_tokenizer"),
    *("controlnet", "image_encoder", "feature_extractor"),
)


@dataclass(frozen=True, slots=True)
class _Origin:
    """What components say of the model that they come from, when another pipeline is made of them."""

    ctx_begin_pos: int = 2
    name: str = "unnamed"
    guidance_scale: float = USUAL_GUIDANCE
    detail_adapter: DetailAdapter | None = None


class PipelineParts(DiffusionPipeline, LoraParts, EmbeddingParts, IpAdapterParts, EngineParts):  # type: ignore[misc]
    """A `DiffusionPipeline` of BLIP-Diffusion's components, which does not yet draw."""

    model_cpu_offload_seq = "qformer->image_encoder->text_encoder->unet->vae"
    _optional_components = ["controlnet", "image_encoder", "feature_extractor"]  # noqa: RUF012 - diffusers reads a list

    def __init__(
        self,
        tokenizer: CLIPTokenizer | WordsTokenizer,
        text_encoder: ContextTextEncoder,
        vae: VAE,
        unet: UNet,
        scheduler: Scheduler,
        qformer: SubjectEncoder,
        image_processor: PhotoSettings,
        qformer_tokenizer: BertTokenizer,
        controlnet: ControlNet | Sequence[ControlNet] | MultiControlNetModel | None = None,
        image_encoder: Any = None,
        feature_extractor: Any = None,
        ctx_begin_pos: int | None = None,
        name: str | None = None,
        subject_fingerprint: str | None = None,
        guidance_scale: float | None = None,
    ) -> None:
        super().__init__()
        origin = getattr(unet, _ORIGIN, _Origin())
        words = tokenizer if isinstance(tokenizer, WordsTokenizer) else None
        tokenizer = tokenizer if words is None else words.plain
        if isinstance(controlnet, list | tuple):
            controlnet = MultiControlNetModel(controlnet)
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            vae=vae,
            unet=unet,
            scheduler=scheduler,
            qformer=qformer,
            image_processor=image_processor,
            qformer_tokenizer=qformer_tokenizer,
            controlnet=controlnet,
            image_encoder=image_encoder,
            feature_extractor=feature_extractor,
        )
        self.register_to_config(
            ctx_begin_pos=origin.ctx_begin_pos if ctx_begin_pos is None else ctx_begin_pos,
            name=origin.name if name is None else name,
            subject_fingerprint=subject_fingerprint or fingerprint(qformer.state_dict()),
            guidance_scale=origin.guidance_scale if guidance_scale is None else guidance_scale,
        )
        self._identified = (qformer, _changes(qformer))
        self._calls = Calls()
        self._words: WordsTokenizer | None = words
        self._additions: tuple[Addition, ...] = ()
        self._step_tables: StepTables | None = None
        self._detail_adapter = origin.detail_adapter
        self._engine = Engine()

    @classmethod
    def from_model(cls, model: BlipDiffusion, **components: Any) -> Self:
        """The pipeline over a loaded model, in the memory format that is fastest where it is.

        Components given by name take the place of the model's.
        """
        parts: dict[str, Any] = {
            "tokenizer": model.prompt_tokenizer,
            "text_encoder": model.text_encoder,
            "vae": model.vae,
            "unet": model.unet,
            "scheduler": build_scheduler(None, model.scheduler_config),
            "qformer": model.subject_encoder,
            "image_processor": model.photo,
            "qformer_tokenizer": model.category_tokenizer,
            "controlnet": model.controlnet,
            "image_encoder": None,
            "feature_extractor": None,
        }
        unknown = sorted(set(components) - set(parts))
        if unknown:
            raise ConfigError(f"The pipeline has no components {', '.join(unknown)}; it has {', '.join(parts)}.")
        absent = sorted(
            name for name, part in components.items() if part is None and name not in cls._optional_components
        )
        if absent:
            raise ConfigError(f"{', '.join(absent)} was given as None; the ControlNet alone may be left out so.")
        parts |= components
        if "unet" not in components:
            origin = _Origin(model.insert_at, model.name, model.guidance, model.detail_adapter)
            setattr(model.unet, _ORIGIN, origin)
        pipeline = cls(
            **parts,
            ctx_begin_pos=model.insert_at,
            name=model.name,
            subject_fingerprint=None if "qformer" in components else model.subject_fingerprint,
            guidance_scale=model.guidance,
        )
        pipeline._additions, pipeline._step_tables = model.additions, model.step_tables
        accelerate(pipeline.model, Placement(pipeline.model.device, pipeline.unet.dtype))
        return pipeline

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        torch_dtype: AskedDtype = None,
        dtype: AskedDtype = None,
        device: torch.device | str | None = None,
        device_map: Any = None,
        local_files_only: bool = True,
        qformer_tokenizer_path: str | Path | None = None,
        additions: Additions | None = None,
        **others: Any,
    ) -> Self:
        """A hub id, a folder in the hub's or LAVIS's layout, or "mini"; fetched only with local_files_only=False.

        Placed as the command line places it: on the best device there is, with torch_dtype None or "auto" in the
        dtype that is fastest there ("stored" keeps the file's), in the fastest memory format. `additions` go on it.
        Of others, diffusers' variant, use_safetensors, revision, cache_dir and token are taken, those that ask for
        what is always so, and components by their names.

        Raises: CheckpointError naming what is missing, unexpected or of another shape, ConfigError for a device or a
        dtype that is none, for an argument that is not known, and for one that asks for what is not done here.
        """
        asked = Loading.of(others, _COMPONENTS, device, device_map)
        place = placement(asked.device).device
        given = either("torch_dtype", torch_dtype, "dtype", dtype)
        model = load_model(
            pretrained_model_name_or_path,
            dtype=dtype_for(given, place) or STORED,
            device=place,
            download=not local_files_only,
            qformer_tokenizer=qformer_tokenizer_path,
            additions=additions,
            wanted=asked.wanted,
        )
        pipeline = cls.from_model(model, **asked.components)
        return pipeline if place.type == "cpu" else pipeline.to(place)  # components that were given come along

    @classmethod
    def from_single_file(
        cls,
        pretrained_model_link_or_path: str | Path,
        *,
        config: str | Path = "Salesforce/blipdiffusion",
        original: str | Path | None = None,
        strength: float = 1.0,
        **others: Any,
    ) -> Self:
        """A LAVIS archive, or BLIP-Diffusion on a checkpoint of Stable Diffusion 1.5 in one file.

        config: the model whose subject goes on the checkpoint; original: Stable Diffusion 1.5 itself, for the
        difference between both, of which `strength` is added; others: as `from_pretrained`

        Raises: as `from_pretrained`.
        """
        if str(pretrained_model_link_or_path).lower().endswith(ARCHIVES):
            return cls.from_pretrained(pretrained_model_link_or_path, **others)
        if not is_file(pretrained_model_link_or_path):
            raise CheckpointError(
                f"There is no file {str(pretrained_model_link_or_path)[:200]}; from_single_file takes one on this "
                "machine, from_pretrained takes folders and hub ids."
            )
        base = Additions.of(base=pretrained_model_link_or_path, original=original, strengths=strength)
        return cls.from_pretrained(config, additions=base, **others)

    def save_pretrained(self, save_directory: str | Path, safe_serialization: bool = True, **others: Any) -> None:
        """The hub's folder layout in safetensors, which `from_pretrained` and diffusers' own component loaders read.

        Raises: OutputError when the folder cannot be written, ConfigError for what diffusers can and this cannot.
        """
        if isinstance(self.controlnet, MultiControlNetModel):
            raise ConfigError("A checkpoint's folder holds one ControlNet; save each of these by itself.")
        asked = ", ".join(name for name, value in others.items() if value)
        if asked or not safe_serialization:
            raise ConfigError(f"It is saved to a folder, in safetensors; leave out {asked or 'safe_serialization'}.")
        save_model(self.model, save_directory)

    @property
    def model(self) -> BlipDiffusion:
        """The components as the one value that the project's own functions take."""
        self._identify()
        adapter = self._detail_adapter
        if adapter is not None:  # it goes where the U-Net went
            adapter.to(runs_on(self.unet), self.unet.dtype)
        return BlipDiffusion(
            subject_encoder=self.qformer,
            text_encoder=self.text_encoder,
            prompt_tokenizer=self.tokenizer if self._words is None else self._words,
            category_tokenizer=self.qformer_tokenizer,
            unet=self.unet,
            vae=self.vae,
            scheduler_config={"_class_name": type(self.scheduler).__name__, **self.scheduler.config},
            photo=self.image_processor,
            subject_fingerprint=self.config.subject_fingerprint,
            insert_at=self.config.ctx_begin_pos,
            guidance=self.config.guidance_scale,
            name=self.config.name,
            controlnet=None if isinstance(self.controlnet, MultiControlNetModel) else self.controlnet,
            detail_adapter=adapter,
            additions=self._additions,
            step_tables=self._step_tables,
        )

    def enable_vae_slicing(self) -> None:
        """Lets the VAE take pictures one at a time."""
        self.vae.enable_slicing()

    def disable_vae_slicing(self) -> None:
        """Undoes `enable_vae_slicing`."""
        self.vae.disable_slicing()

    def enable_vae_tiling(self) -> None:
        """Lets the VAE take pictures tile by tile: less memory for large ones, faint seams."""
        self.vae.enable_tiling()

    def disable_vae_tiling(self) -> None:
        """Undoes `enable_vae_tiling`."""
        self.vae.disable_tiling()

    def enable_sequential_cpu_offload(self, *args: Any, **kwargs: Any) -> None:
        """As diffusers has it: each layer's weights visit the device for its own call."""
        _ = self.model.identity  # afterwards there are no weights to look at
        super().enable_sequential_cpu_offload(*args, **kwargs)

    def _identify(self) -> None:
        """Takes the fingerprint again where the subject encoder is another one, or has other weights, than before."""
        encoder, changes = self._identified
        if self.qformer is not encoder or _changes(self.qformer) > changes:
            self.register_to_config(subject_fingerprint=fingerprint(self.qformer.state_dict()))
            self._identified = (self.qformer, _changes(self.qformer))


def _changes(net: torch.nn.Module) -> int:
    """How often weights were written in place since they were made; moving them is no change."""
    return sum(weight._version for weight in net.parameters())
