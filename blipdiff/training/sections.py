"""What the sections of training recipes hold, as frozen dataclasses."""

from dataclasses import dataclass

from blipdiff.errors import ConfigError
from blipdiff.ranges import USUAL_GUIDANCE


@dataclass(frozen=True, slots=True)
class ModelRecipe:
    """Sizes of a small model that is trained from nothing."""

    width: int
    heads: int
    vision_depth: int
    qformer_depth: int
    text_depth: int
    patch: int
    picture: int
    positions: int
    vocabulary: int
    unet_widths: tuple[int, ...]
    unet_heads: tuple[int, ...]
    latent_channels: int
    vae_width: int
    vae_decoder_blocks: tuple[int, ...]
    guidance: float = USUAL_GUIDANCE  # the scale that the finished model is drawn with


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerRecipe:
    """What every objective's optimisation needs: AdamW, warm-up, constant, linear cool-down, EMA."""

    steps: int
    batch: int
    learning_rate: float
    warmup_steps: int
    cooldown_fraction: float
    weight_decay: float
    ema_decay: float
    beta2: float = 0.99
    accumulate: int = 1  # micro-batches of `batch` rows a step, shared among the processes
    bfloat16: bool = True  # products in bfloat16; weights and moments are always float32
    checkpointing: bool = False  # blocks are computed again in the backward pass: less memory, a third more work
    eight_bit: bool = False  # AdamW's moments in a byte each, by bitsandbytes on CUDA

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            raise ConfigError("'accumulate' must be 1 or more: a step has at least one micro-batch.")

    def rate(self, step: int) -> float:
        """The learning rate of step `step`, counted from 0."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        cooling = self.steps * self.cooldown_fraction
        cool = min(1.0, (self.steps - step) / cooling) if cooling else 1.0
        return self.learning_rate * warm * max(0.02, cool)


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsRecipe(OptimizerRecipe):
    """How prompts are told where subjects are drawn. What the small model needs beside the paper is off by default."""

    made_up: float = 0.0  # share of prompts whose category is a word that nobody knows
    repeated: float = 0.0  # share of prompts that are repeated until the words are full, as callers may do
    category_tokens: int = 32  # of a category at most, as the authors' Q-Former reads; more are cut


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectRecipe(WordsRecipe):
    """Stage 2: the shares of rows that are dropped and the weights of the loss."""

    drop_subject: float
    drop_all: float
    mask_weight: float
    reconstruction_weight: float
    spread: float
    min_snr: float = 0.0  # gamma of min-SNR weighting, Hang et al. 2023, arXiv:2303.09556; 0 is off, 5 the paper's
    timestep_exponent: float = 1.0  # k draws times by 1 - u**k: more of them where subjects are settled; 1 is uniform
    grid_every: int = 0  # steps from one sheet of sample pictures to the next; 0 is none


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderRecipe(OptimizerRecipe):
    """The decoder of the latents."""

    gradient_weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RepresentationRecipe(OptimizerRecipe):
    """Stage 1: the space that pictures and texts share, and whether the vision trunk learns along."""

    shared_width: int
    vocabulary: int
    train_trunk: bool
    text_tokens: int = 32  # of a text or caption at most, as BLIP-2 reads; more are cut
    named: float = 0.0  # share of the texts that are the bare category instead of the caption
    matching_share: float = 1.0  # of a batch that is matched, which takes three passes of the Q-Former for each row
    scenes: float = 1 / 6  # share of the pictures that show a scene, not plain ground; of a library of drawings only
    varied: float = 0.0  # share of the drawings that are bent, outlined, shaded as by another hand; as above
    again: float = 0.0  # share of a batch whose subjects are shown twice, to be told from the others; as above
    contradicted: bool = False  # match captions too, true ones and such with one wrong word: two passes more
    masking: float = 0.0  # share of a caption's words that are hidden and told, ALBEF's third objective: 0.15 there
    distillation: float = 0.0  # how much the averaged weights teach, ALBEF's momentum distillation: 0.4 there


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRecipe(WordsRecipe):
    """A ControlNet over a trained model: what its rows are told, and when (`timestep_exponent` as for the subject)."""

    drop_subject: float
    drop_all: float
    mask_weight: float
    timestep_exponent: float
    spread: float
    embedding_channels: tuple[int, ...]  # of the map on its way to the latents' size: a halving from each to the next
    reshaped: float = 0.0  # share of pairs whose target has the subject's look in a shape that its photo lacks
    rough: float = 0.0  # share of maps with gaps, thick lines, flat or squeezed reliefs


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailRecipe(WordsRecipe):
    """A detail adapter over a trained model: what its rows are told and shown."""

    drop_subject: float
    drop_all: float
    drop_reference: float  # share of the rows with a subject that see no reference of it
    mask_weight: float
    timestep_exponent: float
    spread: float
    unet: bool = False  # whether the U-Net learns along
    styled: float = 0.2  # share of the scenes that are under a style
    detail: float = 1.0  # how much the model reads by the adapter where nobody says

    def __post_init__(self) -> None:
        OptimizerRecipe.__post_init__(self)
        if not 0 <= self.detail <= 1:
            raise ConfigError(f"'detail' must be from 0, nothing, to 1, all; it is {self.detail:g}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalRecipe(OptimizerRecipe):
    """One subject over a trained model: what of its pictures counts, and what keeps the model from forgetting."""

    rank: int = 8  # of the LoRA
    rank_falls: bool = False  # whether fewer of its ranks act the more noise there is
    ground: float = 1.0  # weight of staying as it was around the subject, beside the subject's own error
    silent: float = 0.25  # share of the views that are seen without words too, for guidance: around the subject alone
    prior: float = 0.25  # share of the rows that are other subjects' pictures
    prior_weight: float = 1.0  # of staying as it was in these
    timestep_exponent: float = 1.0  # k draws times by 1 - u**k, as for the subject

    def silent_rows(self, own: int) -> int:
        """Of `own` views, those that are seen without words too."""
        return round(own * self.silent)
