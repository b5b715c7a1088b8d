"""Which layer each tensor of a LoRA changes, in the names that kohya's scripts, diffusers and PEFT give them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from blipdiff.checkpoints.given_files import GivenFile, json_of
from blipdiff.checkpoints.kinds import Kind
from blipdiff.checkpoints.lora_products import is_whole, rank
from blipdiff.checkpoints.original_names import original_unet_name
from blipdiff.errors import CheckpointError, listed

UNET, TEXT = "unet", "text_encoder"

_ROLES = (  # the end of a tensor's name, and what it is of its layer's change
    (r"\.(lora_down|lora\.down|lora_linear_layer\.down)\.weight|_lora\.down\.weight|\.lora_A(\.\w+)?\.weight", "down"),
    (r"\.(lora_up|lora\.up|lora_linear_layer\.up)\.weight|_lora\.up\.weight|\.lora_B(\.\w+)?\.weight", "up"),
    (r"\.lora_mid\.weight", "mid"),
    (r"\.alpha|_lora\.alpha", "alpha"),
    (r"\.dora_scale|\.lora_magnitude_vector(\.\w+)?(\.weight)?", "magnitude"),
)
_OLD_TEXT = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


@dataclass(frozen=True, slots=True, eq=False)
class LayerChange:
    """What a LoRA changes in one layer: scale times the product of its pieces is added to the weight.

    pieces: down (rank, in[, h, w]) and up (out, rank[, 1, 1]) of a LoRA, those of a LoHa or LoKr under their own names;
    magnitude: of DoRA (Liu et al. 2024, arXiv:2402.09353)
    """

    pieces: Mapping[str, Tensor] = field(default_factory=dict)
    alpha: float | None = None
    magnitude: Tensor | None = None
    has_root: bool = False  # whether alpha is divided by the root of the rank (Kalajdzievski 2023, arXiv:2312.03732)

    @property
    def scale(self) -> float:
        """By which the product is multiplied: alpha / rank, 1 where no alpha is told."""
        own = rank(self.pieces)
        if self.alpha is None or own is None:
            return 1.0
        return self.alpha / (own**0.5 if self.has_root else own)


@dataclass(frozen=True, slots=True)
class _Settings:
    """What a PEFT configuration says of the layers of one net."""

    alpha: float | None = None
    patterns: tuple[tuple[str, float], ...] = ()
    has_root: bool = False

    @classmethod
    def of(cls, told: Any) -> "_Settings":
        if not isinstance(told, Mapping):
            return cls()
        alpha, patterns = told.get("lora_alpha"), told.get("alpha_pattern")
        numbers = patterns.items() if isinstance(patterns, Mapping) else ()
        return cls(
            float(alpha) if isinstance(alpha, int | float) else None,
            tuple((str(name), float(one)) for name, one in numbers if isinstance(one, int | float)),
            told.get("use_rslora") is True,
        )

    def alpha_of(self, layer: str) -> float | None:
        found = (one for name, one in self.patterns if layer == name or layer.endswith(f".{name}"))
        return next(found, self.alpha)


def changes_in(file: GivenFile, nets: Mapping[str, nn.Module], config: Any = None) -> dict[str, dict[str, LayerChange]]:
    """The change of each layer, by net and layer.

    config: what stands in an adapter_config.json beside the file

    Raises: CheckpointError for a file that is no LoRA of these nets, and for one in which half of a change is missing.
    """
    kind = file.kind
    if kind.family != "lora" or not kind.fits or not kind.text.startswith(("a LoRA", "a LoHa", "a LoKr")):
        raise CheckpointError(f"{file.path} is {_told(kind)}; a LoRA for Stable Diffusion 1.5 was expected.")
    places = _places(nets)
    found: dict[str, dict[str, LayerChange]] = {name: {} for name in nets}
    strangers: list[str] = []
    for name, tensor in file.tensors.items():
        stem, role = _split(name)
        place = places.get(_plain(stem))
        if role is None or place is None:
            strangers.append(name)
            continue
        net, layer = place
        change = found[net].get(layer, LayerChange())
        if role in ("alpha", "magnitude"):
            value: Any = float(tensor) if role == "alpha" else tensor
            found[net][layer] = replace(change, **{role: value})
        else:
            found[net][layer] = replace(change, pieces={**change.pieces, role: tensor})
    if strangers:
        raise CheckpointError(
            f"{file.path} changes what this model does not have, so it was made for another: {listed(strangers)}."
        )
    settings = _settings(file, config)
    return {
        net: {layer: _set(one, layer, settings[net], file) for layer, one in of.items()} for net, of in found.items()
    }


def _set(change: LayerChange, layer: str, settings: _Settings, file: GivenFile) -> LayerChange:
    if not is_whole(change.pieces):
        raise CheckpointError(f"{file.path} is damaged or cut off: of {layer} only one half is in it.")
    alpha = settings.alpha_of(layer) if change.alpha is None else change.alpha
    return replace(change, alpha=alpha, has_root=settings.has_root)


def _settings(file: GivenFile, config: Any) -> dict[str, _Settings]:
    """PEFT's settings: of a file beside it, or as diffusers writes them into its own, one name before each."""
    told = json_of(file.metadata.get("lora_adapter_metadata"))
    if not isinstance(told, Mapping):
        return {net: _Settings.of(config) for net in (UNET, TEXT)}
    return {
        net: _Settings.of({name.removeprefix(f"{net}."): one for name, one in told.items() if name.startswith(net)})
        for net in (UNET, TEXT)
    }


def _told(kind: Kind) -> str:
    """Its kind, with what it lacks to be a plain LoRA."""
    extra = ", which is not read here" if kind.fits and kind.family == "lora" else ""
    return kind.text + extra


def _split(name: str) -> tuple[str, str | None]:
    """The layer's name in the file, and which part of its change a tensor is."""
    for pattern, role in _ROLES:
        found = re.search(rf"({pattern})$", name)
        if found:
            return name[: found.start()], role
    found = re.search(r"\.((hada|lokr)_(w[12](_[ab])?|t[12]))$", name)
    return (name[: found.start()], found[1]) if found else (name, None)


def _plain(stem: str) -> str:
    """A layer's name in one way of writing: `unet.` or `text_encoder.` before it, `_` between its parts."""
    if stem.startswith(("lora_unet_", "lora_te_")):
        net, rest = (UNET, stem[10:]) if stem.startswith("lora_unet_") else (TEXT, stem[8:])
        return f"{net}.{rest}"
    stem = stem.removeprefix("base_model.model.")
    net = TEXT if stem.startswith((f"{TEXT}.", "text_model.", "encoder.layers.")) else UNET
    rest = stem.removeprefix(f"{net}.").replace(".processor.", ".")
    if net == TEXT:
        rest = rest if rest.startswith("text_model.") else f"text_model.{rest}"
        rest = re.sub(r"\.to_(q|k|v|out)$", lambda found: f".{_OLD_TEXT[found[0][1:]]}", rest)
    else:
        rest = re.sub(r"(attn\d)\.to_out$", r"\1.to_out.0", rest)
    return f"{net}.{rest.replace('.', '_')}"


def _places(nets: Mapping[str, nn.Module]) -> dict[str, tuple[str, str]]:
    """Each layer by its plain name, and by its original one; what PEFT has wrapped is found where it lies now."""
    found = {
        f"{net}.{layer.removesuffix('.base_layer').replace('.', '_')}": (net, layer)
        for net, module in nets.items()
        for layer, one in module.named_modules()
        if isinstance(one, nn.Linear | nn.Conv2d)
    }
    config = getattr(nets.get(UNET), "config", None)
    layers = None if config is None else config.get("layers_per_block")
    if not isinstance(layers, int):
        return found
    ups = {place for place, kind in enumerate(config["up_block_types"]) if "CrossAttn" in kind}  # type: ignore[index]
    original = {}
    for net, layer in found.values():
        plain = layer.removesuffix(".base_layer")
        if net == UNET and ".lora_" not in plain:
            name = original_unet_name(f"{plain}.weight", layers, ups).removesuffix(".weight")
            original[f"{UNET}.{name.replace('.', '_')}"] = net, layer
    return original | found
