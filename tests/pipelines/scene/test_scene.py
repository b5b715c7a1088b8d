"""Scenes of several subjects on a tiny model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.control.controlnet import ControlBranch
from blipdiff.errors import BlipdiffError, ConfigError, ImageError, PromptError
from pipelines.generate.request import GenerateRequest
from pipelines.inputs import Box, Input
from pipelines.plan import SamplingPlan, encode, execute, plan_encoded
from pipelines.scene.plan import encode_scene, plan_scene, region_masks
from pipelines.scene.request import ScenePrompt, SceneRequest, bound_in_order
from pipelines.studio import Studio
from tests.support.jobs import events_of, notices_in, pixels_of, results_in, results_of
from tests.support.tiny_models import PIXELS, photo, tiny_controlnet, tiny_model

LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
PROMPT = "a {dog} and a {tiger} on a beach"


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


@pytest.fixture(scope="module")
def cards(studio: Studio) -> list[SubjectEmbedding]:
    return studio.subjects([SubjectPhoto(photo(seed), word) for seed, word in enumerate(("dog", "tiger"))])


def placed(card: SubjectEmbedding, word: str, region: Image.Image | Box | None = None) -> Input:
    if isinstance(region, Image.Image):
        return Input(card, word, mask=Input(region))
    return Input(card, word, box=region)


def request(**values: object) -> SceneRequest:
    return SceneRequest(**{"prompt": PROMPT, "steps": 2, "softness": 0.0, **values})  # type: ignore[arg-type]


def last_latents(studio: Studio, plan: SamplingPlan) -> torch.Tensor:
    return [step.latents for step in execute(studio.model.unet, plan)][-1]


def scene_latents(studio: Studio, asked: SceneRequest, cards, masks: torch.Tensor, **more: object) -> torch.Tensor:
    words = asked.parsed.words
    rows = encode_scene(studio.model, asked, words, cards[: len(words)])
    return last_latents(studio, plan_scene(studio.model, asked, rows, masks, asked.seeds(), **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("guidance", [1.0, 7.5])
def test_a_region_that_is_the_whole_picture_draws_its_subject_as_generating_does(
    studio: Studio, cards: list[SubjectEmbedding], guidance: float
) -> None:
    asked = request(prompt="a {dog} on a beach", guidance=guidance)
    whole = scene_latents(studio, asked, cards, torch.ones(1, 1, 8, 8))
    single = GenerateRequest(category="dog", prompt="on a beach", steps=2, count=1, guidance=guidance)
    alone = last_latents(studio, plan_encoded(studio.model, encode(studio.model, single, cards[0]), [0]))
    assert torch.allclose(whole, alone, atol=1e-4)


@pytest.mark.parametrize("until", [0.5, 1.0])
def test_a_tile_that_is_the_whole_picture_changes_nothing(
    studio: Studio, cards: list[SubjectEmbedding], until: float
) -> None:
    asked, whole = request(prompt="a {dog} on a beach", tiles_until=0.0), torch.ones(1, 1, 8, 8)
    tiled = replace(asked, tiles_until=until)
    assert torch.allclose(
        scene_latents(studio, asked, cards, whole), scene_latents(studio, tiled, cards, whole), atol=1e-4
    )


def test_in_its_tile_a_region_is_drawn_as_a_picture_of_its_own(studio: Studio, cards: list[SubjectEmbedding]) -> None:
    wide = {"width": 2 * PIXELS, "height": PIXELS, "steps": 1}
    bound = [placed(cards[0], "dog", LEFT), placed(cards[1], "tiger", RIGHT)]
    masks = region_masks(request(**wide), bound, (8, 16))
    drawn = scene_latents(studio, request(**wide, tiles_until=1.0), cards, masks)
    single = GenerateRequest(category="dog", prompt="on a beach", steps=1, count=1)
    plan = plan_encoded(studio.model, encode(studio.model, single, cards[0]), [0])
    noise = plan_scene(
        studio.model, request(**wide), encode_scene(studio.model, request(**wide), ("dog", "tiger"), cards), masks, [0]
    ).latents
    alone = last_latents(studio, replace(plan, latents=noise[..., :8]))
    assert torch.allclose(drawn[..., :8], alone, atol=1e-4)
    without = scene_latents(studio, request(**wide, tiles_until=0.0), cards, masks)
    assert not torch.allclose(drawn, without, atol=1e-3)
    narrow = plan_scene(
        studio.model, request(), encode_scene(studio.model, request(), ("dog", "tiger"), cards),
        region_masks_of(request(), cards), [0],
    )  # fmt: skip
    assert narrow.wrap is None


def test_each_subject_changes_its_own_side_more(studio: Studio, cards: list[SubjectEmbedding]) -> None:
    asked, masks = request(steps=1, guidance=1.0), region_masks_of(request(), cards)
    both = scene_latents(studio, asked, cards, masks)
    other = replace(cards[0], tokens=cards[0].tokens.flip(0) * 3)
    changed = (scene_latents(studio, asked, [other, cards[1]], masks) - both).abs().mean((0, 1, 2))
    assert float(changed[:2].mean()) > 1.5 * float(changed[-2:].mean())


def test_order_of_bindings_does_not_matter(studio: Studio, cards: list[SubjectEmbedding]) -> None:
    bound = [placed(cards[0], "dog", LEFT), placed(cards[1], "tiger", RIGHT)]
    one, other = (results_of(studio, request(), subject=order)[0] for order in (bound, bound[::-1]))
    assert np.array_equal(pixels_of(one), pixels_of(other))
    assert pixels_of(one).shape == (PIXELS, PIXELS, 3)


def test_painted_masks_are_boxes_drawn_by_hand(studio: Studio, cards: list[SubjectEmbedding]) -> None:
    painted = []
    for box in (LEFT, RIGHT):
        mask = Image.new("L", (32, 32))
        mask.paste(255, tuple(int(32 * side) for side in box))
        painted.append(mask)
    asked = request()
    one = region_masks(asked, [placed(cards[0], "dog", painted[0]), placed(cards[1], "tiger", painted[1])], (8, 8))
    assert torch.equal(one, region_masks_of(asked, cards))


def test_a_mask_of_another_size_is_scaled_with_a_word(studio: Studio, cards: list[SubjectEmbedding]) -> None:
    own, twice = Image.new("L", (PIXELS, PIXELS)), Image.new("L", (2 * PIXELS, 2 * PIXELS))
    own.paste(255, (0, 0, PIXELS // 2, PIXELS))
    twice.paste(255, (PIXELS, 0, 2 * PIXELS, 2 * PIXELS))
    bound = [placed(cards[0], "dog", own), placed(cards[1], "tiger", twice)]
    said = notices_in(events_of(studio, request(), subject=bound))
    (scaled,) = [text for text in said if "scaled" in text]
    assert scaled.startswith(f"The mask of 'tiger' is {2 * PIXELS} x {2 * PIXELS} pixels")


def test_a_photo_is_no_painted_mask(cards: list[SubjectEmbedding]) -> None:
    bound = [placed(cards[0], "dog", photo(1)), placed(cards[1], "tiger", photo(2))]
    with pytest.raises(ImageError, match="coloured picture"):
        region_masks(request(), bound, (8, 8))


def region_masks_of(asked: SceneRequest, cards: list[SubjectEmbedding]) -> torch.Tensor:
    bound = [placed(cards[0], "dog", LEFT), placed(cards[1], "tiger", RIGHT)]
    masks = region_masks(asked, bound, (8, 8))
    assert masks is not None
    return masks


def test_regions_can_be_found_and_the_unet_is_left_as_it_was(studio: Studio, cards: list[SubjectEmbedding]) -> None:
    before = dict(studio.model.unet.attn_processors)
    bound = [placed(cards[0], "dog"), placed(cards[1], "tiger")]
    asked = request(steps=4, arrange="found", find_until=0.5, count=2)
    found = results_in(events_of(studio, asked, subject=bound, preview_every=1))
    assert [one.picture.seed for one in found] == [0, 1]
    told = found[0].picture.job["inputs"]["subject"]
    assert [(one["word"], "box" in one, "mask" in one) for one in told] == [
        ("dog", False, False),
        ("tiger", False, False),
    ]
    assert all(studio.model.unet.attn_processors[name] is one for name, one in before.items())
    with pytest.raises(ConfigError, match="take more steps"):
        next(events_of(studio, request(steps=2, arrange="found", find_until=0.1), subject=bound))


def test_a_control_branch_works_beside_regions(studio: Studio, cards: list[SubjectEmbedding]) -> None:
    masks = region_masks_of(request(), cards)
    picture = torch.rand(1, 3, PIXELS, PIXELS, generator=torch.Generator().manual_seed(0))
    branch = ControlBranch(tiny_controlnet(), picture)
    plain = scene_latents(studio, request(), cards, masks)
    steered = scene_latents(studio, request(), cards, masks, controls=[branch])
    still = scene_latents(studio, request(), cards, masks, controls=[replace(branch, strength=0.0)])
    assert torch.equal(plain, still)
    assert not torch.allclose(plain, steered, atol=1e-3)


@pytest.mark.parametrize(
    ("prompt", "scene"),
    [
        ("a {dog} and a {cat} on a sofa", "on a sofa"),
        ("on a beach, a {dog} beside a {red cat}", "on a beach"),
        ("a {dog} with a {cat}", ""),
        ("In the snow, a {dog} and a {cat}.", "In the snow"),
    ],
)
def test_the_scene_is_what_surrounds_the_subjects(prompt: str, scene: str) -> None:
    assert ScenePrompt.parse(prompt).scene == scene


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a dog on a sofa", "binds no subject"),
        ("a {dog} and a {Dog}", "bound twice"),
        ("a {dog on a sofa}}", "do not match"),
        ("a { } on a sofa", "empty"),
        ("{a} {b} {c} {d} {e}", "up to 4"),
    ],
)
def test_a_prompt_that_binds_nothing_well_is_refused(prompt: str, told: str) -> None:
    with pytest.raises(PromptError, match=told):
        request(prompt=prompt)


@pytest.mark.parametrize(
    ("bindings", "told"),
    [
        ([("dog", LEFT), ("dog", RIGHT)], "bound twice"),
        ([("dog", LEFT)], "'tiger' of the prompt has no subject"),
        ([("dog", LEFT), ("lion", RIGHT)], "no {lion}"),
        ([("dog", LEFT), ("tiger", None)], "'tiger' has no region"),
        ([("dog", LEFT), ("tiger", (0.2, 0, 1, 1))], "overlap"),
        ([("dog", LEFT), ("tiger", (0.6, 0, 0.6, 1))], "not empty"),
        ([("dog", LEFT), ("tiger", (0.6, 0, 0.601, 1))], "is empty"),
        ([("dog", LEFT), ("tiger", Image.new("L", (8, 8)))], "is empty"),
    ],
)
def test_bindings_and_regions_that_cannot_be_used_are_refused(
    studio: Studio, cards: list[SubjectEmbedding], bindings, told: str
) -> None:
    bound = [placed(cards[0], word, region) for word, region in bindings]
    with pytest.raises(BlipdiffError, match=told):
        next(events_of(studio, request(), subject=bound))


def test_words_are_bound_whatever_their_case(cards: list[SubjectEmbedding]) -> None:
    bound = bound_in_order(request(), [placed(cards[1], "Tiger"), placed(cards[0], "DOG")])
    assert [one.content for one in bound] == cards
