"""The diffusers face: BLIP-Diffusion as a `DiffusionPipeline`, with the arguments that old scripts already use.

Called with the arguments of diffusers' last working BlipDiffusionPipeline it gives that pipeline's picture: the
photo squashed to a square, the prompt repeated and cut, the scheduler as the checkpoint configures it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel
from torch import Tensor
from transformers import BertTokenizer, CLIPTokenizer

from blipdiff.checkpoints import load_model, save_model
from blipdiff.checkpoints.fingerprint import fingerprint
from blipdiff.conditioning.guidance import Guidance
from blipdiff.conditioning.prompt import broadcast, repeat_prompt
from blipdiff.diffusers_types import VAE, ControlNet, UNet
from blipdiff.errors import ConfigError, PromptError
from blipdiff.images import PhotoFit, PhotoSettings
from blipdiff.latents import decode_latents, latent_size
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.context_text_encoder import ContextTextEncoder
from blipdiff.models.subject_encoder import SubjectEncoder
from blipdiff.moment import Window
from blipdiff.sampling.predictor import Control
from blipdiff.sampling.schedulers import Scheduler, set_timesteps
from pipelines.call_arguments import (
    Amount,
    CallbackEdit,
    Generators,
    Reference,
    StepCallback,
    Words,
    as_output,
    row_generators,
    start_noise,
)
from pipelines.call_controls import ControlPictures, ControlsAsked
from pipelines.plan import SamplingPlan, execute


class BlipDiffusionPipeline(DiffusionPipeline, StableDiffusionLoraLoaderMixin):  # type: ignore[misc]
    """Subject-driven generation (Li et al. 2023, arXiv:2305.14720) with diffusers' conventions."""

    model_cpu_offload_seq = "qformer->text_encoder->unet->vae"
    _optional_components = ["controlnet"]  # noqa: RUF012 - diffusers reads a list
    _callback_tensor_inputs = ["latents"]  # noqa: RUF012

    def __init__(
        self,
        tokenizer: CLIPTokenizer,
        text_encoder: ContextTextEncoder,
        vae: VAE,
        unet: UNet,
        scheduler: Scheduler,
        qformer: SubjectEncoder,
        image_processor: PhotoSettings,
        qformer_tokenizer: BertTokenizer,
        controlnet: ControlNet | Sequence[ControlNet] | MultiControlNetModel | None = None,
        ctx_begin_pos: int = 2,
        name: str = "unnamed",
        subject_fingerprint: str | None = None,
    ) -> None:
        super().__init__()
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
            ctx_begin_pos=ctx_begin_pos,
            name=name,
            subject_fingerprint=subject_fingerprint or fingerprint(qformer.state_dict()),
        )
        self._interrupt = False

    @classmethod
    def from_model(cls, model: BlipDiffusion, **components: Any) -> "BlipDiffusionPipeline":
        """The pipeline over a loaded model; components given by name take the place of the model's."""
        from blipdiff.sampling.schedulers import build_scheduler

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
        parts |= components
        return cls(
            **parts,
            ctx_begin_pos=model.insert_at,
            name=model.name,
            subject_fingerprint=None if "qformer" in components else model.fingerprint,
        )

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        torch_dtype: torch.dtype | None = None,
        local_files_only: bool = True,
        qformer_tokenizer_path: str | Path | None = None,
        **components: Any,
    ) -> "BlipDiffusionPipeline":
        """A hub id, a folder in the hub's or LAVIS's layout, or "mini"; fetched only with local_files_only=False.

        Raises: CheckpointError naming what is missing, unexpected or of another shape.
        """
        model = load_model(
            pretrained_model_name_or_path,
            dtype=torch_dtype,
            download=not local_files_only,
            qformer_tokenizer=qformer_tokenizer_path,
        )
        return cls.from_model(model, **components)

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
        return BlipDiffusion(
            subject_encoder=self.qformer,
            text_encoder=self.text_encoder,
            prompt_tokenizer=self.tokenizer,
            category_tokenizer=self.qformer_tokenizer,
            unet=self.unet,
            vae=self.vae,
            scheduler_config={"_class_name": type(self.scheduler).__name__, **self.scheduler.config},
            photo=self.image_processor,
            fingerprint=self.config.subject_fingerprint,
            insert_at=self.config.ctx_begin_pos,
            name=self.config.name,
            controlnet=None if isinstance(self.controlnet, MultiControlNetModel) else self.controlnet,
        )

    @property
    def interrupt(self) -> bool:
        """Whether the run shall stop after this step; a callback sets `_interrupt`."""
        return bool(self._interrupt)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str],
        reference_image: Reference | list[Reference],
        source_subject_category: str | list[str] = "",
        target_subject_category: str | list[str] | None = None,
        latents: Tensor | None = None,
        guidance_scale: float | Sequence[float] = 7.5,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        generator: Generators = None,
        neg_prompt: str | list[str] | None = "",
        prompt_strength: float = 1.0,
        prompt_reps: int = 20,
        output_type: str = "pil",
        return_dict: bool = True,
        *,
        num_images_per_prompt: int = 1,
        control_image: ControlPictures = None,
        conditioning_image: ControlPictures = None,
        condtioning_image: ControlPictures = None,
        controlnet_conditioning_scale: float | Sequence[float] = 1.0,
        control_guidance_start: float | Sequence[float] = 0.0,
        control_guidance_end: float | Sequence[float] = 1.0,
        guess_mode: bool = False,
        controls: Sequence[Control] = (),
        guidance_window: tuple[float, float] = (0.0, 1.0),
        photo_fit: PhotoFit = "squash",
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> ImagePipelineOutput | tuple[Any]:
        """Pictures of the reference's subject, one or more for each prompt.

        reference_image: a photo, several photos of one subject, or a subject card; one for all prompts or one each.
        Photos and maps: PIL pictures, arrays (H, W, 3) or tensors (3, H, W), of uint8 or from 0 to 1; (n, ...) are n.
        source_subject_category: what the photo shows (a card knows); target_subject_category: what to draw.
        latents: (rows, channels, h, w) of standard normal noise. prompt_reps repeats the prompt, cut to what fits.
        control_image: the map for the pipeline's ControlNet, one for all pictures or one each; a list of such for
        several nets, with scale, start and end for all or one each. `conditioning_image` and the peer's spelling,
        `condtioning_image`, are other names of it.
        callback_on_step_end: called with (pipeline, index, timestep, {"latents": ...}) after every U-Net call; what
        it returns under "latents" goes on. Returns pictures as `output_type` says: pil, np, pt or latent.

        Raises: PromptError, SubjectError, ConfigError or ShapeError, before any denoising, for what does not fit.
        """
        if output_type not in ("pil", "np", "pt", "latent"):
            raise ConfigError(f"The output type is '{output_type}'; choose pil, np, pt or latent.")
        unknown = sorted(set(callback_on_step_end_tensor_inputs) - set(self._callback_tensor_inputs))
        if unknown:
            raise ConfigError(f"A callback can be given latents, not {', '.join(unknown)}.")
        if num_images_per_prompt < 1:
            raise ConfigError(f"{num_images_per_prompt} pictures per prompt were asked for; ask for at least 1.")
        model, device = self.model, self._execution_device
        own = int(model.unet.config.sample_size) * 2 ** (len(model.vae.config.block_out_channels) - 1)
        height, width = own if height is None else height, own if width is None else width
        shape = latent_size(model.vae, height, width)
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        if not prompts:
            raise PromptError("No prompt was given; give at least one, which may be empty.")
        words = Words(prompts, reference_image, source_subject_category, target_subject_category, neg_prompt)
        amount = Amount(prompt_strength, prompt_reps)
        guidance = self._guidance(
            model, words, amount, guidance_scale, Window(*guidance_window), num_images_per_prompt, photo_fit
        )
        given = [one for one in (control_image, conditioning_image, condtioning_image) if one is not None]
        if given:
            asked = ControlsAsked(
                given[0], controlnet_conditioning_scale, control_guidance_start, control_guidance_end, guess_mode
            )
            branches = asked.branches(self.controlnet, (width, height), guidance.rows, len(prompts), device)
            controls = (*controls, *branches)
        scheduler = self.scheduler
        set_timesteps(scheduler, num_inference_steps, device)
        generators = row_generators(generator, guidance.rows)
        noise = start_noise(latents, (guidance.rows, model.unet.config.in_channels, *shape), generator, device)
        self._interrupt = False
        edits = [CallbackEdit(self, callback_on_step_end)] if callback_on_step_end else []
        plan = SamplingPlan(guidance, noise, scheduler, controls, edits=edits, generators=generators)
        result = noise
        with self.progress_bar(total=len(scheduler.timesteps)) as bar:
            for step in execute(self.unet, plan):
                result = step.latents
                bar.update()
                if self._interrupt:
                    break
        images = result if output_type == "latent" else as_output(decode_latents(self.vae, result), output_type)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _guidance(
        self,
        model: BlipDiffusion,
        words: Words,
        amount: Amount,
        scale: float | Sequence[float],
        window: Window,
        copies: int,
        fit: PhotoFit,
    ) -> Guidance:
        subjects = words.subjects(model, fit)
        texts = [repeat_prompt(text, amount.strength, amount.reps) for text in words.texts(subjects)]
        positive = model.encode_prompts(texts, subjects).repeat(copies)
        scales = [float(one) for one in broadcast("guidance_scale", scale, len(texts)) for _ in range(copies)]
        scales = [max(one, 1.0) for one in scales]  # the peer, too, leaves a scale of 1 or less unguided
        guided = any(one != 1.0 for one in scales)
        negative = model.encode_prompts(words.negatives()).repeat(copies) if guided else None
        return Guidance(positive, negative, torch.tensor(scales), window)


class BlipDiffusionControlNetPipeline(BlipDiffusionPipeline):
    """The same pipeline with the structure picture as its third argument, as the peer's ControlNet pipeline had it."""

    def __call__(  # type: ignore[override]
        self, prompt: Any, reference_image: Any, condtioning_image: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """See `BlipDiffusionPipeline.__call__`; further arguments follow in its order."""
        return super().__call__(prompt, reference_image, *args, condtioning_image=condtioning_image, **kwargs)
