"""The components of the diffusers face: registered, loaded, saved, identified, and their memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, cast

import torch
from diffusers import DiffusionPipeline
from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel

from blipdiff.checkpoints import load_model, save_model
from blipdiff.checkpoints.embeddings import Embedding, with_embeddings
from blipdiff.devices import STORED, AskedDtype, Placement, dtype_for, placement
from blipdiff.diffusers_types import VAE, ControlNet, UNet
from blipdiff.errors import ConfigError
from blipdiff.images import PhotoSettings
from blipdiff.models.added_words import WordsTokenizer
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.context_text_encoder import ContextTextEncoder
from blipdiff.models.identity import Addition, fingerprint
from blipdiff.models.subject_encoder import SubjectEncoder
from blipdiff.ranges import USUAL_GUIDANCE
from blipdiff.sampling.acceleration import accelerate
from blipdiff.sampling.schedulers import Scheduler, build_scheduler
from blipdiff.transformers_types import BertTokenizer, CLIPTokenizer
from pipelines.diffusers_pipeline.loras import LoraParts
from pipelines.diffusers_pipeline.running import Calls

_ORIGIN = "blipdiff_origin"  # an attribute of the U-Net


@dataclass(frozen=True, slots=True)
class _Origin:
    """What components say of the model that they come from, when another pipeline is made of them."""

    ctx_begin_pos: int = 2
    name: str = "unnamed"
    guidance_scale: float = USUAL_GUIDANCE


class PipelineParts(DiffusionPipeline, LoraParts):  # type: ignore[misc]
    """A `DiffusionPipeline` of BLIP-Diffusion's components, which does not yet draw."""

    model_cpu_offload_seq = "qformer->text_encoder->unet->vae"
    _optional_components = ["controlnet"]  # noqa: RUF012 - diffusers reads a list

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
        }
        unknown = sorted(set(components) - set(parts))
        if unknown:
            raise ConfigError(f"The pipeline has no components {', '.join(unknown)}; it has {', '.join(parts)}.")
        absent = sorted(name for name, part in components.items() if part is None and name != "controlnet")
        if absent:
            raise ConfigError(f"{', '.join(absent)} was given as None; the ControlNet alone may be left out so.")
        parts |= components
        if "unet" not in components:
            setattr(model.unet, _ORIGIN, _Origin(model.insert_at, model.name, model.guidance))
        pipeline = cls(
            **parts,
            ctx_begin_pos=model.insert_at,
            name=model.name,
            subject_fingerprint=None if "qformer" in components else model.subject_fingerprint,
            guidance_scale=model.guidance,
        )
        pipeline._additions = model.additions
        accelerate(pipeline.model, Placement(pipeline.model.device, pipeline.unet.dtype))
        return pipeline

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        torch_dtype: AskedDtype = None,
        device: torch.device | str = "auto",
        local_files_only: bool = True,
        qformer_tokenizer_path: str | Path | None = None,
        **components: Any,
    ) -> Self:
        """A hub id, a folder in the hub's or LAVIS's layout, or "mini"; fetched only with local_files_only=False.

        Placed as the command line places it: on the best device there is, with torch_dtype None or "auto" in the
        dtype that is fastest there ("stored" keeps the file's), in the fastest memory format.

        Raises: CheckpointError naming what is missing, unexpected or of another shape, ConfigError for a device or a
        dtype that is none.
        """
        place = placement(str(device)).device
        model = load_model(
            pretrained_model_name_or_path,
            dtype=dtype_for(torch_dtype, place) or STORED,
            device=place,
            download=not local_files_only,
            qformer_tokenizer=qformer_tokenizer_path,
        )
        pipeline = cls.from_model(model, **components)
        return pipeline if place.type == "cpu" else pipeline.to(place)  # components that were given come along

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
            additions=self._additions,
        )

    def load_textual_inversion(
        self,
        pretrained_model_name_or_path: Any,
        token: str | Sequence[str | None] | None = None,
        *,
        weight_name: str | None = None,
        local_files_only: bool = False,
    ) -> None:
        """As diffusers has it: one embedding, or a list of them, each with the word that stands for it in prompts.

        A file, a folder, a hub id, or a state dict; a word of several vectors is written once. The tokenizer and the
        text encoder stay as they are.

        Raises: CheckpointError for a file that is no embedding of this model, ConfigError for a word that is none.
        """
        several = isinstance(pretrained_model_name_or_path, list)
        sources = pretrained_model_name_or_path if several else [pretrained_model_name_or_path]
        tokens = [token] * len(sources) if token is None or isinstance(token, str) else list(token)
        model = self.model
        for source, word in zip(sources, tokens, strict=True):
            place = str(Path(source) / weight_name) if weight_name else source
            model = with_embeddings(model, [Embedding(place, word)], download=not local_files_only)
        self._words, self._additions = cast(WordsTokenizer, model.prompt_tokenizer), model.additions

    def unload_textual_inversion(self, tokens: str | Sequence[str] | None = None) -> None:
        """Forgets the words of embeddings: these, or all of them."""
        given = [tokens] if isinstance(tokens, str) else tokens
        names = None if given is None else {word.strip().lower() for word in given}
        if self._words is not None:
            left = {} if names is None else {w: v for w, v in self._words.vectors.items() if w not in names}
            self._words = replace(self._words, vectors=left) if left else None
        self._additions = tuple(
            one for one in self._additions if one.kind != "embedding" or (names is not None and one.name not in names)
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
