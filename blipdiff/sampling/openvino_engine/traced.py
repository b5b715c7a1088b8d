"""Networks as functions of tensors alone, with small inputs to trace them by."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from blipdiff.sampling.cost import without_weights

Kind: TypeAlias = Literal["unet", "vae", "controlnet"]
Shape: TypeAlias = tuple[int, ...]

_SLOTS = 4  # of the words that a network is traced by; it then takes any number


class _UNetCall(nn.Module):
    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, latents: Tensor, timestep: Tensor, words: Tensor, *residuals: Tensor) -> Tensor:
        dtype = self.net.dtype
        *down, middle = [one.to(dtype) for one in residuals]
        found: Tensor = self.net(
            latents.to(dtype),
            timestep,
            encoder_hidden_states=words.to(dtype),
            down_block_additional_residuals=tuple(down),
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]
        return found.float()


class _ControlCall(nn.Module):
    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, latents: Tensor, timestep: Tensor, words: Tensor, picture: Tensor) -> tuple[Tensor, ...]:
        dtype = self.net.dtype
        down, middle = self.net(
            latents.to(dtype),
            timestep,
            encoder_hidden_states=words.to(dtype),
            controlnet_cond=picture.to(dtype),
            return_dict=False,
        )
        return tuple(one.float() for one in (*down, middle))


class _DecodeCall(nn.Module):
    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, latents: Tensor) -> Tensor:
        found: Tensor = self.net.decode(latents.to(self.net.dtype), return_dict=False)[0]
        return found.float()


@dataclass(frozen=True, slots=True)
class _Traceable:
    call: Callable[[Any], nn.Module]
    example: Callable[[Any], tuple[Tensor, ...]]


def traced(net: Any, kind: Kind) -> tuple[Any, tuple[Tensor, ...]]:
    """A network as a TorchScript function of tensors, with the inputs that it was traced by.

    It is traced on a twin that shares the weights: neither attention processors nor hooks that somebody has put on the
    network come along, and it is not touched. Convolutions' weights are copied where their memory format asks for it.
    """
    parts = _TRACEABLE[kind]
    twin = _twin(net)
    weights = {name: weight.contiguous() for name, weight in net.state_dict().items()}
    twin.load_state_dict(weights, strict=True, assign=True)
    given = parts.example(twin)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of branches that go by sizes: `size_step` says which are taken
        return torch.jit.trace(parts.call(twin), given, check_trace=False, strict=False), given


def residual_shapes(unet: Any, height: int, width: int) -> list[Shape]:
    """Of what control nets add for one row of latents (1, channels, height, width): down blocks, then the middle."""
    found: list[Shape] = []

    def after(_block: nn.Module, _given: Any, said: Any) -> None:
        found.extend(tuple(one.shape) for one in (said[1] if isinstance(said, tuple) else [said]))

    twin = _twin(unet)
    blocks = (twin.conv_in, *twin.down_blocks, twin.mid_block)
    hooks = [block.register_forward_hook(after) for block in blocks]
    with torch.device("meta"), torch.no_grad():
        latents = torch.empty(1, int(unet.config.in_channels), height, width)
        words = torch.empty(1, _SLOTS, int(unet.config.cross_attention_dim))
        twin(latents, torch.empty(()), encoder_hidden_states=words, return_dict=False)
    for hook in hooks:
        hook.remove()
    return found


def _twin(net: Any) -> Any:
    """A network of the same configuration, without weights."""
    with torch.device("meta"):
        return without_weights(net).eval().requires_grad_(False)


def _example_of_unet(unet: Any) -> tuple[Tensor, ...]:
    latents, timestep, words = _noisy(unet)
    height, width = latents.shape[-2:]
    return latents, timestep, words, *(torch.zeros(shape) for shape in residual_shapes(unet, height, width))


def _example_of_controlnet(net: Any) -> tuple[Tensor, ...]:
    latents, timestep, words = _noisy(net)
    factor = 2 ** (len(net.config.conditioning_embedding_out_channels) - 1)
    height, width = (side * factor for side in latents.shape[-2:])
    return latents, timestep, words, torch.zeros(1, int(net.config.conditioning_channels), height, width)


def _example_of_vae(vae: Any) -> tuple[Tensor, ...]:
    return (torch.zeros(1, int(vae.config.latent_channels), 4, 4),)


def _noisy(net: Any) -> tuple[Tensor, Tensor, Tensor]:
    side = size_step(net) * 2
    latents = torch.zeros(1, int(net.config.in_channels), side, side)
    return latents, torch.tensor(500.0), torch.zeros(1, _SLOTS, int(net.config.cross_attention_dim))


def size_step(net: Any) -> int:
    """Latents whose sides are multiples of this are halved evenly down to the middle; others take another way."""
    return int(2 ** (len(net.config.block_out_channels) - 1))


_TRACEABLE: dict[Kind, _Traceable] = {
    "unet": _Traceable(_UNetCall, _example_of_unet),
    "controlnet": _Traceable(_ControlCall, _example_of_controlnet),
    "vae": _Traceable(_DecodeCall, _example_of_vae),
}
