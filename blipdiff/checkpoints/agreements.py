"""What the parts of one checkpoint must agree on: widths, channels, words; seen before anything is computed."""

from typing import Any

from blipdiff.checkpoints.detail_adapter import check_fits
from blipdiff.errors import CheckpointError
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.transformers_types import BertTokenizer, CLIPTokenizer

_SHORTEST = 4  # begin, "a", one word, end: what a prompt has besides the subject


def agreed(model: BlipDiffusion) -> BlipDiffusion:
    """The model itself, when its parts belong together.

    Raises: CheckpointError for parts of different models, and for tokenizers with words that the tables lack.
    """
    text, qformer = model.text_encoder.sizes, model.subject_encoder.sizes.qformer
    _equal("the Q-Former gives rows of width", qformer.width, "the text encoder's are", text.width)
    for net, name in ((model.unet, "U-Net"), (model.controlnet, "ControlNet")):
        widths = () if net is None else net.config.cross_attention_dim
        for width in widths if isinstance(widths, list | tuple) else (widths,):
            _equal(f"the {name} reads text of width", width, "the text encoder's is", text.width)
    latents = int(model.vae.config.latent_channels)
    _equal("the U-Net takes latents of channels", model.unet.config.in_channels, "the VAE makes", latents)
    _equal("the U-Net gives latents of channels", model.unet.config.out_channels, "the VAE takes", latents)
    if model.detail_adapter is not None:
        check_fits(model.detail_adapter, model.unet)
    room = text.positions - max(_SHORTEST, model.insert_at + 2)
    if qformer.queries > room:
        raise CheckpointError(
            f"The subject has {qformer.queries} rows from place {model.insert_at} on; a text of {text.positions} "
            f"positions has room for {room}."
        )
    check_words(model.prompt_tokenizer, text.vocabulary, "prompts")
    check_words(model.category_tokenizer, qformer.vocabulary, "categories")
    return model


def check_words(tokenizer: CLIPTokenizer | BertTokenizer, rows: int, what: str) -> None:
    """Passes when every token of a tokenizer has its row in a table of so many.

    Raises: CheckpointError for tokens beyond it.
    """
    last = max(tokenizer.get_vocab().values(), default=-1)
    if last >= rows:
        raise CheckpointError(
            f"The tokenizer of the {what} knows tokens up to number {last}, the table of the model has {rows} rows; "
            "the files belong to different models, or a special token is not in the vocabulary."
        )


def _equal(what: str, own: Any, other: str, wanted: Any) -> None:
    if own != wanted:
        raise CheckpointError(f"The parts belong to different models: {what} {own}, {other} {wanted}.")
