"""What a picture shall show: subjects, prompts, and how strongly they are followed. Values, no weights."""

from blipdiff.conditioning.guidance import Conditioning, Guidance, concat
from blipdiff.conditioning.layout import TokenLayout
from blipdiff.conditioning.mixing import mix
from blipdiff.conditioning.prompt import (
    AmplifiedPrompt,
    amplify,
    broadcast,
    build_prompt,
    checked_category,
    checked_text,
    repeat_prompt,
)
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto

__all__ = [
    "AmplifiedPrompt",
    "Conditioning",
    "Guidance",
    "SubjectEmbedding",
    "SubjectPhoto",
    "TokenLayout",
    "amplify",
    "broadcast",
    "build_prompt",
    "checked_category",
    "checked_text",
    "concat",
    "mix",
    "repeat_prompt",
]
