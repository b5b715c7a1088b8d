"""Painted masks as text, so that a picture's metadata can keep them."""

import base64
import io
from typing import Any

from PIL import Image

from blipdiff.errors import ConfigError
from blipdiff.images import as_rgb

_MOST_LETTERS = 2**18


def mask_text(mask: Image.Image) -> str | None:
    """A painted mask as text, None when it is too large for metadata."""
    stream = io.BytesIO()
    as_rgb(mask, "black").convert("L").save(stream, format="PNG", optimize=True)
    text = base64.b64encode(stream.getvalue()).decode()
    return text if len(text) <= _MOST_LETTERS else None


def mask_from(text: Any) -> Image.Image | None:
    """The mask of a text, None for none. Raises: ConfigError for a damaged one."""
    if text is None:
        return None
    try:
        return as_rgb(Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)))
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError("The painted mask in the metadata is damaged; give the mask again.") from error
