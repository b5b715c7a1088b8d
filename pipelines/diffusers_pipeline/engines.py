"""OpenVINO in the diffusers face, switched on and off as diffusers switches xformers."""

import warnings
from pathlib import Path
from typing import Any

from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel

from blipdiff.devices import Placement
from blipdiff.diffusers_types import VAE, UNet
from blipdiff.errors import ConfigError
from blipdiff.ranges import INT8, TORCH
from blipdiff.sampling.openvino_engine.engine import Engine
from blipdiff.sampling.openvino_engine.library import NAME, library
from pipelines.diffusers_pipeline.with_model import WithModel


class EngineParts(WithModel):
    """What computes the networks of a pipeline that has a `model`; torch, until something else is switched on."""

    unet: UNet
    vae: VAE
    controlnet: Any
    _engine: Engine

    def enable_openvino(self, cache_dir: str | Path | None = None, *, int8: bool = False) -> None:
        """Lets OpenVINO compute U-Net, ControlNets and the VAE's decoder, on a processor, in float32 or bfloat16.

        Each network is converted when it is first needed, and kept in `cache_dir`: absent, in the cache of the home
        folder. Calls that look into the U-Net or add to it (reference_detail, IP-Adapters, LoRAs that are not fused,
        T2I-Adapters) have torch's. Weights that are changed later make their network torch's, with a warning; call
        this again to have them converted. With `int8` the U-Net is the one in 8 bits that `blipdiff quantize` has made
        of this model, where there is one; else a warning says so.

        Raises: MissingDependencyError where OpenVINO is not installed, ConfigError for another device or dtype.
        """
        library()
        place = Placement(self.model.device, self.unet.dtype)
        engine = Engine.chosen(INT8 if int8 else NAME, place, self.unet, None if cache_dir is None else Path(cache_dir))
        self._serve(engine)
        if engine.name == TORCH:
            raise ConfigError(" ".join(engine.notices()))

    def disable_openvino(self) -> None:
        """Undoes `enable_openvino`."""
        self._serve(Engine())

    def _serve(self, engine: Engine) -> None:
        nets = self.controlnet.nets if isinstance(self.controlnet, MultiControlNetModel) else [self.controlnet]
        engine.serve(self.unet, self.vae)
        for net in nets:
            if net is not None:
                engine.serve_control(net)
        self._engine = engine

    def _warn_of_engine(self) -> None:
        """Warns of what there is to say of the engine since the last call: what was converted, why it is torch."""
        for sentence in self._engine.notices():
            warnings.warn(sentence, stacklevel=3)
