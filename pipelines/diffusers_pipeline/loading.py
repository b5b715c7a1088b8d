"""The arguments of `from_pretrained` as users of diffusers write them: each known one taken, each other one named."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from blipdiff.checkpoints.needed import Wanted
from blipdiff.errors import ConfigError

_WANTED = ("variant", "use_safetensors", "revision", "cache_dir", "token")
_NOTHING_ELSE = {  # what diffusers takes, with the values at which it asks for nothing, and why there is nothing else
    "low_cpu_mem_usage": ((None, True, False), ""),  # weights are mapped from their files in any case
    "resume_download": ((None, True, False), ""),  # what was cut off goes on where it ended in any case
    "requires_safety_checker": ((None, False), "give a safety_checker"),
    "safety_checker": ((None,), "look at the pictures with one of your own"),
    "force_download": ((None, False), "delete the copy in the cache to fetch it anew"),
    "proxies": ((None,), "set HTTPS_PROXY"),
    "mirror": ((None,), "set HF_ENDPOINT"),
    "custom_pipeline": ((None,), "this is the pipeline"),
    "custom_revision": ((None,), "this is the pipeline"),
    "trust_remote_code": ((None, False), "no code of a checkpoint is run"),
    "max_memory": ((None,), "the model is placed on one device"),
    "offload_folder": ((None,), "call enable_model_cpu_offload()"),
    "offload_state_dict": ((None, False), "weights are mapped from their files"),
    "quantization_config": ((None,), "give quantized components by their names"),
    "disable_mmap": ((None, False), "weights are mapped from their files"),
}
KNOWN = ("torch_dtype", "dtype", "device", "device_map", "local_files_only", *_WANTED, *_NOTHING_ELSE)


@dataclass(frozen=True, slots=True)
class Loading:
    """What a call of `from_pretrained` asks for beside the model's name."""

    device: str
    wanted: Wanted
    components: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        others: Mapping[str, Any],
        components: tuple[str, ...],
        device: torch.device | str | None,
        device_map: Any,
    ) -> "Loading":
        """Of the arguments that it does not know by name itself.

        components: the names of those that may be given

        Raises: ConfigError for an argument that is unknown, or that asks for what is not done here.
        """
        unknown = [name for name in others if name not in (*KNOWN, *components)]
        if unknown:
            raise ConfigError(
                f"from_pretrained has no argument {', '.join(unknown)}; it has {', '.join(KNOWN)}, and the components "
                f"{', '.join(components)}."
            )
        for name, (taken, instead) in _NOTHING_ELSE.items():
            value = others.get(name)
            if not any(value is one for one in taken):
                raise ConfigError(f"from_pretrained({name}={value!r:.60}) is not done here; {instead}.")
        wanted = {name: others[name] for name in _WANTED if name in others}
        _check_wanted(wanted)
        given = {name: one for name, one in others.items() if name in components}
        return cls(_device(device, device_map), Wanted(**wanted), given)


def _check_wanted(wanted: Mapping[str, Any]) -> None:
    flag = wanted.get("use_safetensors")
    if flag is not None and not isinstance(flag, bool):
        raise ConfigError(f"use_safetensors is {flag!r:.60}; it is True, False or None.")
    for name in ("variant", "revision"):
        value = wanted.get(name)
        if value is not None and not (isinstance(value, str) and value.strip()):
            raise ConfigError(f"{name} is {value!r:.60}; a text was expected, such as {name}='fp16'.")


def _device(device: torch.device | str | None, device_map: Any) -> str:
    """The one device that both ways of saying it name."""
    if device_map is None:
        return "auto" if device is None else str(device)
    if isinstance(device_map, Mapping):
        places = {str(one) for one in device_map.values()}
        device_map = places.pop() if len(places) == 1 else device_map
    if not isinstance(device_map, str | torch.device | int) or str(device_map) in ("balanced", "sequential"):
        raise ConfigError(
            f"device_map is {device_map!r:.80}; the model is placed on one device: give 'cuda', 'cuda:1', 'cpu' or "
            "'auto', or call enable_model_cpu_offload() for more memory than it has."
        )
    named = f"cuda:{device_map}" if isinstance(device_map, int) else str(device_map)
    if device is not None and str(device) not in ("auto", named):
        raise ConfigError(f"device is {str(device)!r} and device_map {named!r}; give one of them.")
    return named
