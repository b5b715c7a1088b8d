"""The parts that diffusers provides, under the names that this project uses for them."""

from typing import TypeAlias

from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, T2IAdapter, UNet2DConditionModel

UNet: TypeAlias = UNet2DConditionModel
VAE: TypeAlias = AutoencoderKL | AutoencoderTiny
ControlNet: TypeAlias = ControlNetModel
Adapter: TypeAlias = T2IAdapter
