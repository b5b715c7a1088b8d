"""IP-Adapters for Stable Diffusion 1.5, put on a model with the picture that they read beside the subject.

diffusers' own loader lays the weights beside the U-Net's; ours says what a file is, and keeps the picture.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers.models.embeddings import ImageProjection
from torch import Tensor

from blipdiff.checkpoints.detect import is_folder
from blipdiff.checkpoints.given_files import given_path, named, open_given
from blipdiff.conditioning.image_prompt import ImagePrompt, keep_on
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.foreign import foreign
from blipdiff.images import as_rgb, open_picture
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.identity import DRAWING, Addition, Fingerprint, known_fingerprint, remember
from blipdiff.strict_networks import strict_network

PREFERRED = ("ip-adapter_sd15.safetensors", "ip-adapter_sd15.bin")
_WANTED = "an IP-Adapter for Stable Diffusion 1.5 was expected"


@dataclass(frozen=True, slots=True, eq=False)
class IpAdapter:
    """An IP-Adapter by its file or folder, how strongly it acts, and the picture that it reads.

    encoder: the folder of its image encoder; `image_encoder` beside the file if None

    Raises: ConfigError for a weight that is no number from 0 to 2.
    """

    source: str
    image: Any  # a path, or a picture in any form
    weight: float = 1.0
    encoder: str | None = None

    def __post_init__(self) -> None:
        number = isinstance(self.weight, int | float) and not isinstance(self.weight, bool)
        if not number or not 0 <= self.weight <= 2:
            raise ConfigError(f"The weight of {self.source} is {self.weight!r}; an IP-Adapter's goes from 0 to 2.")

    @classmethod
    def of(cls, given: "str | Path | IpAdapter", image: Any = None, encoder: str | Path | None = None) -> "IpAdapter":
        """The one that "ip-adapter_sd15.safetensors:0.6" names. Raises: ConfigError for one without a picture."""
        if isinstance(given, IpAdapter):
            return given
        source, weight = named(str(given))
        if image is None:
            raise ConfigError(f"The IP-Adapter {source} needs a picture to read: add --ip-image (ip_image=).")
        return cls(source, image, weight, None if encoder is None else str(encoder))


def _of_unet(unet: Any) -> Any:
    """diffusers' methods of IP-Adapters, for a U-Net without a pipeline."""
    from diffusers.loaders import IPAdapterMixin  # which warns of what it lacks, even where no adapter is wanted

    holder = IPAdapterMixin()
    holder.unet = unet
    return holder


def ip_adapter_in(path: Path, width: int) -> dict[str, dict[str, Tensor]]:
    """The two parts of an IP-Adapter's file, as diffusers' loader takes them.

    width: of the words that the U-Net reads

    Raises: CheckpointError that says what the file is, where it is no IP-Adapter of this model.
    """
    file = open_given(path)
    parts: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, one in file.tensors.items():
        part, _, rest = name.partition(".")
        if part in parts:
            parts[part][rest] = one
    if not all(parts.values()):
        raise CheckpointError(f"{path} is {file.kind.text}; {_WANTED}.")
    reads = next((one.shape[1] for name, one in parts["ip_adapter"].items() if name.endswith("to_k_ip.weight")), width)
    if reads != width:
        told = " It is one for Stable Diffusion XL." if reads == 2048 else ""
        raise CheckpointError(f"{path} reads pictures {reads} wide, this model's words are {width} wide.{told}")
    return parts


def with_ip_adapter(model: BlipDiffusion, given: IpAdapter, *, download: bool = False) -> BlipDiffusion:
    """The model, which nobody else uses, with an IP-Adapter and its picture on the U-Net.

    Raises: CheckpointError for a file that is no IP-Adapter of this model, and without an image encoder; ImageError
    for what is no picture.
    """
    path = given_path(given.source, "IP-Adapter", PREFERRED, download=download)
    parts = ip_adapter_in(path, int(model.unet.config.cross_attention_dim))
    picture = as_rgb(open_picture(given.image) if isinstance(given.image, str | Path) else given.image)
    encoder, processor = image_encoder(given, path)
    before, holder = known_fingerprint(model.unet), _of_unet(model.unet)
    try:
        with foreign(path, "an IP-Adapter that fits this model's U-Net"):
            holder.load_ip_adapter(parts, None, None, low_cpu_mem_usage=False)
        holder.set_ip_adapter_scale(given.weight)
        with foreign(str(encoder.name_or_path), "the image encoder that this IP-Adapter reads with"), torch.no_grad():
            prompt = encoded(encoder, processor, picture, model.unet)
    except BaseException:
        holder.unload_ip_adapter()
        raise
    model.unet.eval().requires_grad_(False)
    keep_on(model.unet, prompt)
    remember(model.unet, before)  # the adapter is told as a part of its own
    seen = Fingerprint(DRAWING).added({f"{part}.{name}": one for part, of in parts.items() for name, one in of.items()})
    pixels = hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).hexdigest()[:8]
    name = f"{path.stem} of the picture {pixels}"
    addition = Addition("IP-Adapter", name, float(given.weight), seen.digest())
    return replace(model, additions=(*model.additions, addition))


def image_encoder(given: IpAdapter, path: Path) -> tuple[Any, Any]:
    """The image encoder and what readies a picture for it. Raises: CheckpointError where there is none."""
    from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

    folder = path.parent / "image_encoder" if given.encoder is None else Path(given.encoder)
    if not is_folder(folder) or not (folder / "config.json").is_file():
        raise CheckpointError(
            f"The IP-Adapter {path.name} needs its image encoder, which is not in {folder}; give its folder with "
            "--ip-encoder (of Stable Diffusion 1.5's: h94/IP-Adapter, models/image_encoder)."
        )
    with foreign(folder, "a CLIP image encoder"):
        net = strict_network(CLIPVisionModelWithProjection, str(folder), "image encoder")
    side = int(net.config.image_size)
    return net.float().eval(), CLIPImageProcessor(size=side, crop_size=side)


def encoded(encoder: Any, processor: Any, picture: Any, unet: Any) -> ImagePrompt:
    """What the encoder sees in a picture, as the projection of each adapter reads it: (1, 1, ...)."""
    pixels = processor(picture, return_tensors="pt").pixel_values
    positive, negative = [], []
    for layer in unet.encoder_hid_proj.image_projection_layers:
        if isinstance(layer, ImageProjection):
            seen = encoder(pixels).image_embeds
            none = torch.zeros_like(seen)
        else:  # finer ones read the places of the picture
            seen, none = (
                encoder(one, output_hidden_states=True).hidden_states[-2] for one in (pixels, torch.zeros_like(pixels))
            )
        layer(seen.to(unet.device))  # one that does not fit is found here
        positive.append(seen[None])
        negative.append(none[None])
    return ImagePrompt(tuple(positive), tuple(negative))
