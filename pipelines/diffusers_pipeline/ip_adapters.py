"""IP-Adapters in the diffusers face: diffusers' own methods, and what a call reads of its picture."""

from pathlib import Path
from typing import Any

from torch import Tensor

from blipdiff.checkpoints.detect import is_file
from blipdiff.checkpoints.ip_adapter import IpAdapter, image_encoder, ip_adapter_in
from blipdiff.conditioning.image_prompt import ImagePrompt
from blipdiff.errors import ConfigError
from blipdiff.transformers_types import unwarned

with unwarned():  # of image processors that would be faster with torchvision
    from diffusers import StableDiffusionPipeline
    from diffusers.loaders import IPAdapterMixin


class IpAdapterParts(IPAdapterMixin):  # type: ignore[misc]
    """diffusers' methods of IP-Adapters; attention taps do not see what an adapter adds, and refuse it by name."""

    unet: Any
    image_encoder: Any
    encode_image = StableDiffusionPipeline.encode_image
    prepare_ip_adapter_image_embeds = StableDiffusionPipeline.prepare_ip_adapter_image_embeds

    def load_ip_adapter(  # type: ignore[override]
        self,
        pretrained_model_name_or_path_or_dict: Any,
        subfolder: Any = "",
        weight_name: Any = None,
        image_encoder_folder: str | None = "image_encoder",
        **kwargs: Any,
    ) -> None:
        """As diffusers has it; a file's path alone will do, with its image encoder in a folder beside it.

        Raises: CheckpointError for a file that is no IP-Adapter of this model, and without an image encoder.
        """
        source, width = pretrained_model_name_or_path_or_dict, int(self.unet.config.cross_attention_dim)
        kwargs = {"low_cpu_mem_usage": False, **kwargs}
        if isinstance(source, str | Path) and is_file(source):
            parts = ip_adapter_in(Path(source), width)
            if self.image_encoder is None and image_encoder_folder is not None:
                inner = Path(source).parent / image_encoder_folder
                net, processor = image_encoder(IpAdapter(str(source), None, encoder=str(inner)), Path(source))
                net = net.to(self.unet.device, self.unet.dtype)
                self.register_modules(image_encoder=net, feature_extractor=processor)  # type: ignore[attr-defined]
            super().load_ip_adapter(parts, None, None, image_encoder_folder=None, **kwargs)
            return
        names = weight_name if isinstance(weight_name, list) else [weight_name]
        for name in names:
            if isinstance(source, str | Path) and name and is_file(Path(source) / (subfolder or "") / name):
                ip_adapter_in(Path(source) / (subfolder or "") / name, width)
        super().load_ip_adapter(source, subfolder, weight_name, image_encoder_folder, **kwargs)

    def image_prompt(self, image: Any, embeds: list[Tensor] | None) -> ImagePrompt | None:
        """What a call's rows read beside its words, one picture for each adapter.

        Raises: ConfigError for a picture without an adapter, for one without its encoder, and for another number.
        """
        if image is None and embeds is None:
            return None
        projection = self.unet.encoder_hid_proj
        layers = getattr(projection, "image_projection_layers", ())
        given = embeds if embeds is not None else image if isinstance(image, list) else [image]
        if len(given) != len(layers):
            raise ConfigError(
                f"{len(given)} pictures were given for {len(layers)} IP-Adapters; give one each, and load_ip_adapter "
                "before."
            )
        if embeds is None and self.image_encoder is None:
            raise ConfigError("The IP-Adapter has no image encoder; load it with one, or give ip_adapter_image_embeds.")
        found = self.prepare_ip_adapter_image_embeds(image, embeds, self.unet.device, 1, True)
        halves = [one.chunk(2) for one in found]
        return ImagePrompt(tuple(one for _, one in halves), tuple(none for none, _ in halves))
