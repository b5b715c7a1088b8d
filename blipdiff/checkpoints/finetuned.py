"""LAVIS's fine-tuned `checkpoint_N.pth`: the trained tensors, over a base model, and the subject they show."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from blipdiff.checkpoints.key_rules import text_encoder_name, to_hub, vae_name
from blipdiff.checkpoints.weights import check_finite, check_names, is_plain, open_tensors, stored_object
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import CheckpointError, listed
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.identity import fingerprint, known_fingerprint, remember

_CACHE = "ctx_embeddings_cache"


def overlaid(
    base: BlipDiffusion, checkpoint: Path, category: str = "subject"
) -> tuple[BlipDiffusion, SubjectEmbedding | None]:
    """`base` with the checkpoint's tensors in place of its own, and the subject that was trained, if it holds one.

    The networks of `base` are changed: give one that nobody else uses.
    Raises: CheckpointError for tensors that the base has no place for, of another shape, or not finite.
    """
    parts: dict[str, dict[str, Tensor]] = {"subject": {}, "text": {}, "unet": {}, "vae": {}}
    unexpected: list[str] = []
    cache: Tensor | None = None
    for stored, value in open_tensors(checkpoint).items():
        if stored == _CACHE:
            cache = value
            continue
        part, name = _place(stored)
        if part is None:
            unexpected.append(stored)
        elif name is not None:
            parts[part][name] = value
    if unexpected:
        raise CheckpointError(f"{checkpoint} holds tensors of no part of the model: {listed(unexpected)}.")
    nets: dict[str, nn.Module] = {
        "subject": base.subject_encoder,
        "text": base.text_encoder,
        "unet": base.unet,
        "vae": base.vae,
    }
    for part, tensors in parts.items():
        _replace(nets[part], tensors, f"{checkpoint.name}, {part}")
    model = base
    if parts["subject"]:
        model = replace(base, subject_fingerprint=fingerprint(base.subject_encoder.state_dict()))
    return model, None if cache is None else _subject(cache, model, checkpoint, category)


def cached_subject(path: Path, model: BlipDiffusion, category: str = "subject") -> SubjectEmbedding:
    """The subject in a LAVIS folder's `ctx_embeddings_cache.pt`.

    Raises: CheckpointError when the file is damaged or of another width.
    """
    stored = stored_object(path)
    if isinstance(stored, Mapping):
        stored = next(iter(stored.values()), None)
    if not isinstance(stored, Tensor) or not is_plain(_CACHE, stored):
        raise CheckpointError(f"{path} holds no subject embedding.")
    return _subject(stored, model, path, category)


def _place(name: str) -> tuple[str | None, str | None]:
    """Which part a tensor belongs to, and its name there; the name is None for what is not wanted."""
    prefix, _, rest = name.partition(".")
    if prefix in ("blip", "proj_layer"):
        return "subject", to_hub(name)
    if prefix == "text_encoder":
        return "text", text_encoder_name(rest)
    if prefix == "unet":
        return "unet", rest
    return ("vae", vae_name(rest)) if prefix == "vae" else (None, None)


def _replace(net: nn.Module, tensors: dict[str, Tensor], what: str) -> None:
    expected = {name: value for name, value in net.state_dict().items() if name in tensors}
    check_names(expected, {name: tuple(value.shape) for name, value in tensors.items()}, what)
    ready: dict[str, Tensor] = {}
    for name, own in expected.items():
        ready[name] = tensors[name].to(own.device, own.dtype).view(own.shape)
        check_finite(ready[name], tensors[name], f"{what}: {name}")
    before = known_fingerprint(net)
    net.load_state_dict(ready, strict=False, assign=True)
    remember(net, before.added({name: tensors[name].view(own.shape) for name, own in expected.items()}))


def _subject(cache: Tensor, model: BlipDiffusion, path: Path, category: str) -> SubjectEmbedding:
    width = model.text_encoder.sizes.width
    if cache.shape[-1:] != (width,) or cache.numel() != model.subject_slots * width:
        raise CheckpointError(
            f"The subject in {path} is {list(cache.shape)}; expected [1, {model.subject_slots}, {width}]."
        )
    tokens = cache.float().reshape(-1, width)
    check_finite(tokens, cache, f"{path}: {_CACHE}")
    return SubjectEmbedding(
        tokens=tokens.clone(),
        category=category,
        thumbnail=None,
        fingerprint=model.subject_fingerprint,
        provenance={"model": model.name, "source": path.name},
    )
