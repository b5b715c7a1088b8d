"""What fine-tuning on one subject can be asked for."""

from dataclasses import dataclass

from blipdiff.conditioning.prompt import checked_category
from blipdiff.ranges import LARGEST_SEED
from pipelines.parameters import PICTURES, SUBJECT, check, parameter
from pipelines.task import InputKind, Task

MOST_PHOTOS = 200
_LEARNING = "Learning"


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalizeRequest:
    """What is learned of a subject, and for how long. 0 stands for what the method does best with."""

    category: str = parameter("", "Category", "What the subject is: dog, teapot.", group=SUBJECT, is_category=True)
    method: str = parameter(
        "lora",
        "Method",
        "What learns: the subject's embedding alone (kilobytes), with it a LoRA on the U-Net's attention, or the whole "
        "U-Net, as in the paper (gigabytes at full size).",
        choices=("embedding", "lora", "full"),
        group=_LEARNING,
    )
    steps: int = parameter(
        0,
        "Steps",
        "At most; 0 for 45. The best state by held-out views of the subject is kept.",
        low=0,
        high=2000,
        step=1,
        group=_LEARNING,
    )
    rank: int = parameter(
        16, "Rank", "Of the LoRA: more holds more, in a larger file.", low=2, high=128, step=1, group=_LEARNING
    )
    rank_falls: bool = parameter(
        False,
        "Rank falls with noise",
        "Fewer of the LoRA's ranks act the more noise there is, where few photos are learned by heart (T-LoRA).",
        group=_LEARNING,
    )
    rate: float = parameter(
        0.0, "Learning rate", "0 for the method's own.", low=0.0, high=0.1, step=0.0001, group=_LEARNING
    )
    batch: int = parameter(
        0, "Batch", "Views in each step; 0 for the model's own.", low=0, high=64, step=1, group=_LEARNING
    )
    prior: float = parameter(
        0.25,
        "Others",
        "The share of each step that are others of the category, as the model draws them: it forgets them less.",
        low=0.0,
        high=0.75,
        step=0.05,
        group=_LEARNING,
    )
    flips: bool = parameter(
        False,
        "Mirrored views",
        "Learn from mirrored views too, where left and right are alike.",
        group=_LEARNING,
    )
    eight_bit: bool = parameter(
        False,
        "8-bit optimizer",
        "Its moments in a byte each, by bitsandbytes on CUDA: less memory, most of all where the whole U-Net learns.",
        group=_LEARNING,
    )
    fit: str = parameter(
        "pad",
        "Photo fit",
        "How a photo that is no square is made one.",
        choices=("crop", "pad", "squash"),
        group=SUBJECT,
    )
    sample: str = parameter("", "Sample prompt", "What is drawn to look at while it learns.", group=PICTURES)
    seed: int = parameter(
        0, "Seed", "Of everything that is drawn by chance.", low=0, high=LARGEST_SEED, step=1, group=PICTURES
    )

    def __post_init__(self) -> None:
        check(self)
        checked_category(self.category)


TASKS = (
    Task(
        "personalize",
        "Learn one subject by a minute of fine-tuning: a card with weights.",
        "blipdiff personalize dog1.png dog2.png dog3.png --category dog --output rex.safetensors",
        PersonalizeRequest,
        {
            "photo": InputKind(
                "layers",
                "Photo",
                "A photo of the subject; three to five from different sides are best.",
                least=1,
                most=MOST_PHOTOS,
                missing="No photo was given; give one to five photos of the subject.",
            )
        },
        "pipelines.personalize.run",
        about="One photo works and teaches one view. The card is taken wherever a subject's card is.",
        is_offered=False,
    ),
)
