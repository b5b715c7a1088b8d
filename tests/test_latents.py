import copy

import pytest
import torch
from diffusers import AutoencoderTiny

from blipdiff.errors import ConfigError, NumericsError, ShapeError
from blipdiff.latents import decode_latents, encode_picture, latent_size, noise, row_generators


def test_a_batch_of_noise_equals_its_single_runs():
    batch = noise([3, 4, 5], (4, 8, 8))
    for row, seed in enumerate([3, 4, 5]):
        assert torch.equal(batch[row : row + 1], noise(seed, (4, 8, 8)))


def test_a_seed_means_the_same_noise_in_every_dtype():
    assert torch.equal(noise(1, (4, 8, 8), torch.bfloat16), noise(1, (4, 8, 8)).to(torch.bfloat16))


def test_a_generator_is_used_and_advanced():
    generator = torch.Generator().manual_seed(7)
    first, second = noise(generator, (4, 4, 4)), noise(generator, (4, 4, 4))
    assert torch.equal(first, noise(7, (4, 4, 4)))
    assert not torch.equal(first, second)


def test_noise_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    noise([1, 2], (4, 4, 4))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "7", True, None])
def test_a_seed_outside_its_range_is_refused(seed):
    with pytest.raises(ConfigError, match="seed"):
        row_generators([seed])


def test_no_seed_at_all_is_refused():
    with pytest.raises(ConfigError, match="one for each picture"):
        noise([], (4, 4, 4))


def test_a_size_that_the_vae_divides_gives_its_latents(tiny_vae):
    assert latent_size(tiny_vae, 128, 64) == (16, 8)


@pytest.mark.parametrize(
    ("height", "width", "named"),
    [(500, 512, "height.*496 or 504"), (512, 333, "width.*328 or 336"), (3, 64, "height.*Nearest: 8"), (0, 64, "8")],
)
def test_a_size_that_does_not_divide_is_refused_with_the_nearest_ones(tiny_vae, height, width, named):
    with pytest.raises(ConfigError, match=named):
        latent_size(tiny_vae, height, width)


def test_decoding_gives_pixels_between_zero_and_one(tiny_vae):
    pixels = decode_latents(tiny_vae, noise([1, 2], (4, 8, 16)))
    assert pixels.shape == (2, 3, 64, 128)
    assert pixels.dtype == torch.float32
    assert 0 <= float(pixels.min()) < float(pixels.max()) <= 1


def test_a_decoded_batch_is_bit_equal_to_its_single_runs(tiny_vae):
    latents = noise([1, 2, 3], (4, 8, 8))
    batch = decode_latents(tiny_vae, latents)
    for row in range(3):
        assert torch.equal(batch[row : row + 1], decode_latents(tiny_vae, latents[row : row + 1]))


def test_a_half_precision_vae_decodes_in_float32_and_stays_as_it_was(tiny_vae):
    half = copy.deepcopy(tiny_vae).half()
    before = dict(half.named_parameters())
    pixels = decode_latents(half, noise(1, (4, 8, 8)))
    reference = decode_latents(copy.deepcopy(half).float(), noise(1, (4, 8, 8)))
    assert torch.equal(pixels, reference)
    assert half.dtype == torch.float16
    assert all(weight is before[name] for name, weight in half.named_parameters())


def test_the_float32_twin_keeps_tiling(tiny_vae):
    half = copy.deepcopy(tiny_vae).half()
    half.enable_tiling()
    half.tile_latent_min_size, half.tile_sample_min_size = 4, 32
    whole = copy.deepcopy(half).float()
    assert torch.equal(decode_latents(half, noise(1, (4, 8, 8))), decode_latents(whole, noise(1, (4, 8, 8))))


def test_a_bfloat16_vae_gives_a_float32_picture(tiny_vae):
    brain = copy.deepcopy(tiny_vae).to(torch.bfloat16)
    pixels = decode_latents(brain, noise(1, (4, 8, 8)))
    assert pixels.dtype == torch.float32
    assert torch.allclose(pixels, decode_latents(tiny_vae, noise(1, (4, 8, 8))), atol=0.05)


def test_encoding_takes_the_mode_unless_a_generator_asks_for_a_sample(tiny_vae):
    picture = torch.rand(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    mode = encode_picture(tiny_vae, picture)
    posterior = tiny_vae.encode(picture * 2 - 1).latent_dist
    assert torch.allclose(mode, posterior.mean * 0.18215, atol=1e-6)
    assert torch.equal(mode, encode_picture(tiny_vae, picture))
    sample = encode_picture(tiny_vae, picture, torch.Generator().manual_seed(1))
    assert not torch.equal(mode, sample)
    assert torch.equal(sample, encode_picture(tiny_vae, picture, torch.Generator().manual_seed(1)))


def test_an_encoded_batch_is_bit_equal_to_its_single_runs(tiny_vae):
    picture = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    batch = encode_picture(tiny_vae, picture)
    assert torch.equal(batch[1:], encode_picture(tiny_vae, picture[1:]))


def test_a_tiny_autoencoder_serves_as_the_vae():
    vae = AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
    ).eval()
    assert latent_size(vae, 64, 32) == (8, 4)
    latents = encode_picture(vae, torch.rand(2, 3, 64, 32))
    assert latents.shape == (2, 4, 8, 4)
    assert decode_latents(vae, latents).shape == (2, 3, 64, 32)


def test_values_that_are_not_finite_are_reported(tiny_vae):
    broken = copy.deepcopy(tiny_vae)
    with torch.no_grad():
        broken.decoder.conv_out.weight.fill_(float("nan"))
    with pytest.raises(NumericsError, match="not-a-number"):
        decode_latents(broken, noise(1, (4, 8, 8)))


def test_tensors_of_another_shape_are_refused(tiny_vae):
    with pytest.raises(ShapeError, match="3, H, W"):
        encode_picture(tiny_vae, torch.zeros(1, 1, 64, 64))
    with pytest.raises(ConfigError, match="multiples of 8"):
        encode_picture(tiny_vae, torch.zeros(1, 3, 60, 64))
    with pytest.raises(ShapeError, match="4, h, w"):
        decode_latents(tiny_vae, torch.zeros(1, 3, 8, 8))
