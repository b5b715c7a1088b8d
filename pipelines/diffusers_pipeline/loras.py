"""LoRAs in the diffusers face: diffusers' own methods, which here reach our text encoder too.

Files are read by our own reader, so that every naming, convolutions and DoRA arrive whole; PEFT computes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from diffusers.loaders import lora_base as diffusers_loras
from torch import Tensor, nn

from blipdiff.checkpoints.configs import read_json
from blipdiff.checkpoints.given_files import GivenFile, given_path, open_given
from blipdiff.checkpoints.lora import PREFERRED
from blipdiff.checkpoints.lora_names import TEXT, UNET, changes_in
from blipdiff.errors import CheckpointError, MissingDependencyError
from blipdiff.models.context_text_encoder import ContextTextEncoder

_OWN = {"weight_name", "subfolder", "local_files_only"}


class LoraParts(StableDiffusionLoraLoaderMixin):  # type: ignore[misc]
    """diffusers' methods of LoRAs for a pipeline with a context text encoder."""

    unet: Any
    text_encoder: ContextTextEncoder

    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict: str | Path | dict[str, Tensor],
        adapter_name: str | None = None,
        hotswap: bool = False,
        **kwargs: Any,
    ) -> None:
        """As diffusers has it, for kohya's, diffusers' and PEFT's files; on an error nothing of it is left.

        Raises: CheckpointError for a file that is no LoRA of this model, MissingDependencyError without peft.
        """
        _check_peft()
        source = pretrained_model_name_or_path_or_dict
        quick = {name: kwargs.pop(name) for name in ("low_cpu_mem_usage",) if name in kwargs}
        if not set(kwargs) - _OWN:
            source, kwargs = self._plain(_given(source, **kwargs)), {}
        name = adapter_name or self._free_name()
        before = {one for names in self.get_list_adapters().values() for one in names}
        try:
            super().load_lora_weights(source, adapter_name=name, hotswap=hotswap, **kwargs, **quick)
        except BaseException:
            if name not in before:
                self._forget(name)
            raise

    @classmethod
    def load_lora_into_text_encoder(
        cls,
        state_dict: Mapping[str, Tensor],
        network_alphas: Mapping[str, float] | None,
        text_encoder: ContextTextEncoder,
        prefix: str | None = None,
        lora_scale: float = 1.0,
        adapter_name: str | None = None,
        hotswap: bool = False,
        **_: Any,
    ) -> None:
        """diffusers' own step, for a text encoder that is none of transformers' models.

        Raises: CheckpointError for hot-swapping, which diffusers does not do to text encoders either.
        """
        prefix = f"{prefix or TEXT}."
        own = {name.removeprefix(prefix): one for name, one in state_dict.items() if name.startswith(prefix)}
        if not own:
            return
        if hotswap:
            raise CheckpointError("A text encoder's LoRA cannot be swapped in place; unload it and load the other.")
        _inject(text_encoder, own, network_alphas or {}, prefix, adapter_name or "default_0")
        if lora_scale != 1.0:
            diffusers_loras.scale_lora_layers(text_encoder, weight=lora_scale)

    def unload_lora_weights(self) -> None:
        """Takes all LoRAs off; every weight is the one it was before, also after fusing."""
        self.unfuse_lora()
        super().unload_lora_weights()
        _strip(self.text_encoder)

    def fuse_lora(
        self,
        components: Any = (UNET, TEXT),
        lora_scale: float = 1.0,
        safe_fusing: bool = False,
        adapter_names: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """As diffusers has it; the weights as they were are kept until `unfuse_lora`."""
        kept: dict[nn.Module, Tensor] = self.__dict__.setdefault("_before_fusing", {})
        for component in components:
            for layer in _layers(getattr(self, component)):
                kept.setdefault(layer, layer.get_base_layer().weight.detach().clone())
        super().fuse_lora(list(components), lora_scale, safe_fusing, adapter_names, **kwargs)
        if TEXT in components:
            diffusers_loras.fuse_text_encoder_lora(self.text_encoder, lora_scale, safe_fusing, adapter_names)
            self._merged_adapters |= {one for layer in _layers(self.text_encoder) for one in layer.merged_adapters}

    def unfuse_lora(self, components: Any = (UNET, TEXT), **kwargs: Any) -> None:
        """As diffusers has it, and to the bit: subtracting would leave what rounding has done."""
        if TEXT in components:
            diffusers_loras.unfuse_text_encoder_lora(self.text_encoder)
        super().unfuse_lora(list(components), **kwargs)
        kept: dict[nn.Module, Tensor] = self.__dict__.get("_before_fusing", {})
        for component in components:
            for layer in _layers(getattr(self, component)):
                before = kept.pop(layer, None)
                if before is not None:
                    layer.get_base_layer().weight.data = before.to(layer.get_base_layer().weight)

    def set_adapters(self, adapter_names: list[str] | str, adapter_weights: Any = None) -> None:
        """As diffusers has it: a weight for each adapter, or one for each of its parts."""
        super().set_adapters(adapter_names, adapter_weights)
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        weights = adapter_weights if isinstance(adapter_weights, list) else [adapter_weights] * len(names)
        own = [one.get(TEXT) if isinstance(one, dict) else one for one in weights]
        if _layers(self.text_encoder):
            diffusers_loras.set_adapters_for_text_encoder(names, self.text_encoder, own)  # type: ignore[arg-type]

    def disable_lora(self) -> None:
        """As diffusers has it."""
        super().disable_lora()
        diffusers_loras.disable_lora_for_text_encoder(self.text_encoder)  # type: ignore[arg-type]

    def enable_lora(self) -> None:
        """As diffusers has it."""
        super().enable_lora()
        diffusers_loras.enable_lora_for_text_encoder(self.text_encoder)  # type: ignore[arg-type]

    def delete_adapters(self, adapter_names: list[str] | str) -> None:
        """As diffusers has it."""
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        there = self.get_list_adapters()
        for name in names:
            self._forget(name, there)

    def get_list_adapters(self) -> dict[str, list[str]]:
        """As diffusers has it."""
        found: dict[str, list[str]] = super().get_list_adapters()
        own = list(getattr(self.text_encoder, "peft_config", None) or {})
        return found | ({TEXT: own} if own else {})

    def get_active_adapters(self) -> list[str]:
        """As diffusers has it."""
        active = [
            one for net in (self.unet, self.text_encoder) for layer in _layers(net)[:1] for one in layer.active_adapters
        ]
        return list(dict.fromkeys(active))

    def set_lora_device(self, adapter_names: list[str], device: torch.device | str | int) -> None:
        """As diffusers has it."""
        super().set_lora_device(adapter_names, device)
        for layer in _layers(self.text_encoder):
            for name in adapter_names:
                for halves in (layer.lora_A, layer.lora_B, layer.lora_magnitude_vector):
                    if name in halves:
                        halves[name].to(device)

    def _forget(self, name: str, there: Mapping[str, list[str]] | None = None) -> None:
        """Takes one adapter off whichever nets have it; the last one takes PEFT's layers with it."""
        there = self.get_list_adapters() if there is None else there
        for component in there:
            net = getattr(self, component)
            if name not in there[component]:
                continue
            if len(getattr(net, "peft_config", {})) <= 1:
                _strip(net)
            else:
                diffusers_loras.delete_adapter_layers(net, name)
                net.peft_config.pop(name, None)

    def _free_name(self) -> str:
        taken = {one for names in self.get_list_adapters().values() for one in names}
        return next(f"default_{n}" for n in range(len(taken) + 1) if f"default_{n}" not in taken)

    def _plain(self, given: tuple[GivenFile, Any]) -> dict[str, Tensor]:
        """A file's tensors as diffusers names them today, each layer's scale taken into its upper half."""
        nets: dict[str, nn.Module] = {UNET: self.unet, TEXT: self.text_encoder}
        found: dict[str, Tensor] = {}
        for net, changes in changes_in(given[0], nets, given[1]).items():
            for wrapped, change in changes.items():
                layer = f"{net}.{wrapped.removesuffix('.base_layer')}"
                if set(change.pieces) != {"down", "up"}:
                    raise CheckpointError(
                        f"{given[0].path} is {given[0].kind.text}, which is not laid beside weights here; merge it "
                        "into them: from_pretrained(..., additions=Additions.of(loras=[...]))."
                    )
                down, up = change.pieces["down"], change.pieces["up"]
                found |= {f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up * change.scale}
                if change.magnitude is not None:
                    found[f"{layer}.lora_magnitude_vector"] = change.magnitude
        return found


def _given(
    source: str | Path | Mapping[str, Tensor],
    weight_name: str | None = None,
    subfolder: str | None = None,
    local_files_only: bool | None = None,
) -> tuple[GivenFile, Any]:
    if isinstance(source, Mapping):
        return GivenFile(Path("The given state dict"), dict(source)), None
    place = Path(source) / (subfolder or "") if subfolder else Path(source)
    first = (weight_name,) if weight_name else PREFERRED
    path = given_path(str(place), "LoRA", first, download=not local_files_only)
    config = path.parent / "adapter_config.json"
    beside = read_json(config) if path.name.startswith("adapter_model") and config.is_file() else None
    return open_given(path), beside


def _inject(
    net: nn.Module, tensors: Mapping[str, Tensor], alphas: Mapping[str, float], prefix: str, adapter: str
) -> None:
    """Puts PEFT's layers on a network that is no model of diffusers or transformers."""
    from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict

    ranks = {name.removesuffix(".lora_A.weight"): len(one) for name, one in tensors.items() if ".lora_A." in name}
    told = {layer: alphas.get(f"{prefix}{layer}.alpha", rank) for layer, rank in ranks.items()}
    config = LoraConfig(
        r=max(ranks.values()),
        lora_alpha=max(ranks.values()),
        target_modules=list(ranks),
        rank_pattern=dict(ranks),
        alpha_pattern=told,
        use_dora=any("magnitude" in name for name in tensors),
    )
    inject_adapter_in_model(config, net, adapter_name=adapter)
    set_peft_model_state_dict(net, dict(tensors), adapter_name=adapter)
    net.eval().requires_grad_(False)
    weight = next(net.parameters())
    for layer in _layers(net):
        layer.to(device=weight.device, dtype=weight.dtype)


def _strip(net: nn.Module) -> None:
    """Takes PEFT's layers off a network."""
    diffusers_loras.recurse_remove_peft_layers(net)
    if getattr(net, "peft_config", None) is not None:
        del net.peft_config
    if hasattr(net, "_hf_peft_config_loaded"):
        net._hf_peft_config_loaded = None  # type: ignore[assignment]


def _layers(net: nn.Module) -> list[Any]:
    """The layers that PEFT has wrapped."""
    return [module for module in net.modules() if hasattr(module, "merged_adapters")]


def _check_peft() -> None:
    try:
        import peft  # noqa: F401
    except ImportError as reason:
        raise MissingDependencyError(
            "Loading a LoRA beside the weights needs the package peft: pip install peft. Without it, "
            "load_model(..., additions=Additions.of(loras=[...])) merges one into the weights."
        ) from reason
