"""The diffusers face: BLIP-Diffusion as a `DiffusionPipeline`, with the arguments that old scripts already use.

Called with the arguments of diffusers' last working BlipDiffusionPipeline it gives that pipeline's picture: the
photo squashed to a square, the prompt repeated and cut, the scheduler as the checkpoint configures it.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from threading import Lock
from typing import Any

import torch
from diffusers import ImagePipelineOutput
from torch import Tensor

from blipdiff.devices import warn_of_half
from blipdiff.errors import ConfigError
from blipdiff.images import SubjectFit
from blipdiff.latents import decode_latents, latent_size
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.caching import Caching
from blipdiff.moment import Window
from blipdiff.ranges import MOST_BRANCH
from blipdiff.sampling.predictor import Control
from blipdiff.sampling.schedulers import Scheduler, ready_scheduler, set_timesteps
from pipelines.diffusers_pipeline.arguments import (
    CallbackEdit,
    Generators,
    StepCallback,
    as_output,
    either,
    row_generators,
    start_noise,
)
from pipelines.diffusers_pipeline.controls import ControlPictures, ControlsAsked
from pipelines.diffusers_pipeline.parts import PipelineParts
from pipelines.diffusers_pipeline.running import Call
from pipelines.diffusers_pipeline.words import Amount, Reference, Words
from pipelines.plan import SamplingPlan, execute, pace_of
from pipelines.requests import Sampling

_READYING = Lock()  # held only while a scheduler is readied and copied


class BlipDiffusionPipeline(PipelineParts):
    """Subject-driven generation (Li et al. 2023, arXiv:2305.14720) with diffusers' conventions."""

    _callback_tensor_inputs = ["latents"]  # noqa: RUF012 - diffusers reads a list

    @property
    def interrupt(self) -> bool:
        """Whether the run shall stop after this step; a callback sets `_interrupt`, and stops its own run alone."""
        return self._interrupt

    @property
    def _interrupt(self) -> bool:
        seen = self._calls.seen
        return seen is not None and seen.stops

    @_interrupt.setter
    def _interrupt(self, stops: bool) -> None:
        self._calls.stop(bool(stops))

    @property
    def guidance_scale(self) -> float | Sequence[float]:
        """The scale of this thread's call, or of the one that began last; before the first, the model's own."""
        seen = self._calls.seen
        own: float = self.config.guidance_scale
        return own if seen is None else seen.guidance_scale

    @property
    def num_timesteps(self) -> int:
        """U-Net calls of this thread's call, or of the one that began last."""
        seen = self._calls.seen
        return 0 if seen is None else seen.num_timesteps

    @torch.no_grad()
    def encode_prompt(
        self,
        prompt: str | list[str],
        reference_image: Reference | list[Reference],
        source_subject_category: str | list[str] = "",
        target_subject_category: str | list[str] | None = None,
        negative_prompt: str | list[str] | None = None,
        *,
        prompt_strength: float = 1.0,
        prompt_reps: int = 20,
        photo_fit: SubjectFit = "squash",
        prompt_weighting: str = "off",
    ) -> tuple[Tensor, Tensor]:
        """What a call can be given as prompt_embeds, with the subject among the words, and negative_prompt_embeds."""
        words = Words.of(
            prompt,
            reference_image,
            source_subject_category,
            target_subject_category,
            negative_prompt,
            weighting=prompt_weighting,
        )
        positive, negative = words.encoded(self.model, Amount(prompt_strength, prompt_reps), photo_fit)
        return positive.embeddings, negative.embeddings

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] | None = None,
        reference_image: Reference | list[Reference] | None = None,
        source_subject_category: str | list[str] = "",
        target_subject_category: str | list[str] | None = None,
        latents: Tensor | None = None,
        guidance_scale: float | Sequence[float] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        generator: Generators = None,
        neg_prompt: str | list[str] | None = None,
        prompt_strength: float = 1.0,
        prompt_reps: int = 20,
        output_type: str = "pil",
        return_dict: bool = True,
        *,
        negative_prompt: str | list[str] | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: list[Tensor] | None = None,
        num_images_per_prompt: int = 1,
        speed: str | None = None,
        cache_interval: int = 1,
        cache_branch: int = MOST_BRANCH,
        control_image: ControlPictures = None,
        conditioning_image: ControlPictures = None,
        condtioning_image: ControlPictures = None,
        controlnet_conditioning_scale: float | Sequence[float] = 1.0,
        control_guidance_start: float | Sequence[float] = 0.0,
        control_guidance_end: float | Sequence[float] = 1.0,
        guess_mode: bool = False,
        control_resample: str = "bicubic",
        controls: Sequence[Control] = (),
        guidance_window: tuple[float, float] = (0.0, 1.0),
        reference_detail: float | None = None,
        photo_fit: SubjectFit = "squash",
        prompt_weighting: str = "off",
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> ImagePipelineOutput | tuple[Any]:
        """Pictures of the reference's subject, one or more for each prompt.

        reference_image: a photo, several photos of one subject, or a subject card; one for all prompts or one each.
        Photos and maps: PIL pictures, arrays (H, W, 3) or tensors (3, H, W), of uint8 or from 0 to 1; (n, ...) are n.
        source_subject_category: what the photo shows (a card knows); target_subject_category: what to draw.
        guidance_scale: for all or one for each prompt; the model's own if absent. neg_prompt is another name of
        negative_prompt. prompt_embeds and negative_prompt_embeds, from `encode_prompt`, take the place of words and
        reference. latents: (rows, channels, h, w) of standard normal noise. prompt_reps repeats the prompt, cut to
        what fits. prompt_weighting: how (word:1.3), [word] and {subject:1.2} are read: "a1111", "compel", or "off".
        control_image: the map for the pipeline's ControlNet, one for all pictures or one each; a list of such for
        several nets, with scale, start and end for all or one each. `conditioning_image` and the peer's spelling,
        `condtioning_image`, are other names of it. control_resample: how a map of another size is resized, "bicubic" as
        the peer, "lanczos" as the authors' code and diffusers' other ControlNet pipelines.
        ip_adapter_image: a picture for each IP-Adapter, or ip_adapter_image_embeds, as diffusers has them.
        reference_detail: 0 to 1, how much of the subject's details is read from its photo, or its card's cut-out; if
        absent all by a model with a detail adapter, where the subject stands out, and nothing by another.
        speed: exact, balanced or fast: the scheduler and steps that this stands for with the model, those that were
        fitted to it where there are such, in place of the pipeline's scheduler and num_inference_steps.
        cache_interval: one U-Net call of so many is whole, the others take its deep features again (DeepCache);
        cache_branch: layers of the first level that all calls compute. Calls that are looked into or steered are whole.
        callback_on_step_end: called with (pipeline, index, timestep, {"latents": ...}) after every U-Net call; what
        it returns under "latents" goes on, and it may read the pipeline's num_timesteps and guidance_scale.
        Returns pictures as `output_type` says: pil, np, pt or latent.

        Raises: PromptError, SubjectError, ConfigError or ShapeError, before any denoising, for what does not fit.
        """
        if output_type not in ("pil", "np", "pt", "latent"):
            raise ConfigError(f"The output type is '{output_type}'; choose pil, np, pt or latent.")
        unknown = sorted(set(callback_on_step_end_tensor_inputs) - set(self._callback_tensor_inputs))
        if unknown:
            raise ConfigError(f"A callback can be given latents, not {', '.join(unknown)}.")
        if not isinstance(num_images_per_prompt, Integral) or num_images_per_prompt < 1:
            raise ConfigError(f"{num_images_per_prompt} pictures per prompt were asked for; ask for at least 1.")
        model, device = self.model, self._execution_device
        if device.type == "cpu" and self.unet.dtype == torch.float16:
            warn_of_half()
        own = int(model.unet.config.sample_size) * 2 ** (len(model.vae.config.block_out_channels) - 1)
        height, width = own if height is None else height, own if width is None else width
        shape = latent_size(model.vae, height, width)
        words = Words.of(
            prompt,
            reference_image,
            source_subject_category,
            target_subject_category,
            either("negative_prompt", negative_prompt, "neg_prompt", neg_prompt),
            prompt_embeds,
            negative_prompt_embeds,
            "negative_prompt" if neg_prompt is None else "neg_prompt",
            prompt_weighting,
        )
        scale = self.config.guidance_scale if guidance_scale is None else guidance_scale
        amount = Amount(prompt_strength, prompt_reps)
        guidance = words.guidance(model, amount, scale, Window(*guidance_window), num_images_per_prompt, photo_fit)
        given = [one for one in (control_image, conditioning_image, condtioning_image) if one is not None]
        if given:
            asked = ControlsAsked(
                given[0],
                controlnet_conditioning_scale,
                control_guidance_start,
                control_guidance_end,
                guess_mode,
                control_resample,
            )
            branches = asked.branches(self.controlnet, (width, height), guidance.rows, words.count, device)
            controls = (*controls, *branches)
        scheduler = self._ready(model, num_inference_steps, speed, scale)
        generators = row_generators(generator, guidance.rows)
        noise = start_noise(latents, (guidance.rows, model.unet.config.in_channels, *shape), generator, device)
        edits = [CallbackEdit(self, callback_on_step_end)] if callback_on_step_end else []
        plan = SamplingPlan(guidance, noise, scheduler, controls, edits=edits, generators=generators)
        plan = replace(plan, caching=Caching(cache_interval, cache_branch))
        plan = replace(plan, image_prompt=self.image_prompt(ip_adapter_image, ip_adapter_image_embeds))
        plan = words.reading(model, plan, reference_detail, num_images_per_prompt, photo_fit)
        result, count = noise, len(scheduler.timesteps)
        with self._calls.begun(Call(scale, count)) as call, self.progress_bar(total=count) as bar:
            for step in execute(self.unet, plan):
                result = step.latents
                bar.update()
                if call.stops:
                    break
        images = result if output_type == "latent" else as_output(decode_latents(self.vae, result), output_type)
        self.maybe_free_model_hooks()
        self._warn_of_engine()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _ready(self, model: BlipDiffusion, steps: int, speed: str | None, scale: float | Sequence[float]) -> Scheduler:
        """The scheduler of one run. Raises: ConfigError for a speed that there is not, or too many steps."""
        if speed is not None:
            pace = pace_of(model, Sampling(speed=speed))
            first = float(scale) if isinstance(scale, int | float) else max(map(float, scale))
            return ready_scheduler(model, pace.scheduler, pace.steps, first)
        with _READYING:  # another thread may ready the pipeline's own for another run
            set_timesteps(self.scheduler, steps, self._execution_device)
            return copy.deepcopy(self.scheduler)


class BlipDiffusionControlNetPipeline(BlipDiffusionPipeline):
    """The same pipeline with the structure picture as its third argument, as the peer's ControlNet pipeline had it."""

    def __call__(  # type: ignore[override]
        self, prompt: Any, reference_image: Any, condtioning_image: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """See `BlipDiffusionPipeline.__call__`; further arguments follow in its order."""
        return super().__call__(prompt, reference_image, *args, condtioning_image=condtioning_image, **kwargs)
