"""Pictures with everything needed to repeat them, and the metadata that they carry as PNG files."""

import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from blipdiff.errors import ConfigError, OutputError
from blipdiff.models.identity import ModelIdentity
from blipdiff.outputs import write_new, written_file
from blipdiff.picture_chunks import png_text
from blipdiff.picture_files import file_stream, picture_file
from pipelines.places import without_places

METADATA_VERSION = 1
_KEY = "blipdiff"
_MOST_CHARACTERS = 2**24
_PACKAGES = ("blipdiff", "torch", "diffusers", "transformers")

# What the law asks of generated pictures: IPTC's "digital source type", as an XMP packet.
XMP_KEY = "XML:com.adobe.xmp"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
EDITED_PHOTO_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <Iptc4xmpExt:DigitalSourceType>SOURCE_TYPE</Iptc4xmpExt:DigitalSourceType>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""

# Other tools' names of settings -> the request's; those before the seed come first in their line.
_BEFORE_SEED = {"Steps": "steps", "Sampler": "scheduler", "CFG scale": "guidance"}
_AFTER_SIZE = {"Subject category": "category", "Target category": "target"}


def library_versions() -> dict[str, str]:
    """The versions that a picture depends on: this project's and those of the libraries that compute it."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture of a request; `index` counts the request's pictures from 0."""

    image: Image.Image
    seed: int
    index: int
    request: Mapping[str, Any]  # only what JSON can hold
    model: str
    fingerprint: str
    place: Mapping[str, str] = field(default_factory=dict)  # device and dtype that drew it
    versions: Mapping[str, str] = field(default_factory=library_versions)
    identity: ModelIdentity | None = None  # of the model, part by part
    source_type: str | None = SOURCE_TYPE  # None for a picture that nothing was generated in

    def metadata(self) -> dict[str, Any]:
        """Everything but the pixels, as the PNG's own key holds it."""
        made_by = {"fingerprint": self.fingerprint} if self.identity is None else self.identity.told()
        return {
            "version": METADATA_VERSION,
            "request": without_places(self.request),
            "seed": self.seed,
            "index": self.index,
            "size": list(self.image.size),
            "model": {"name": self.model, **made_by},
            "place": dict(self.place),
            "versions": dict(self.versions),
        }

    def parameters(self) -> str:
        """The text that other tools read: prompt, negative prompt, and one line of settings."""
        lines = [str(self.request.get("prompt", ""))]
        if self.request.get("negative"):
            lines.append(f"Negative prompt: {self.request['negative']}")
        settings = self._asked(_BEFORE_SEED)
        settings |= {"Seed": self.seed, "Size": f"{self.image.width}x{self.image.height}"}
        settings |= self._asked(_AFTER_SIZE)
        settings |= {"Model hash": self.fingerprint, "Model": self.model}
        settings |= {"Version": f"blipdiff {self.versions.get('blipdiff', 'unknown')}"}
        lines.append(", ".join(f"{label}: {_quoted(value)}" for label, value in settings.items()))
        return "\n".join(lines)

    def _asked(self, names: Mapping[str, str]) -> dict[str, Any]:
        return {label: self.request[name] for label, name in names.items() if self.request.get(name) is not None}


def save_picture(picture: Picture, path: str | Path, *, metadata: bool = True) -> Path:
    """Writes the PNG, whole or not at all; without `metadata` it carries only the mark that it was generated.

    Raises: OutputError when the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise OutputError(f"Pictures are written as .png, which keeps their metadata; {path.name} has another ending.")
    with written_file(path) as part:
        _write(picture, part, metadata=metadata)
    return path


def save_new_picture(picture: Picture, folder: Path, stem: str, *, metadata: bool = True) -> Path:
    """As `save_picture`, under the first name in `folder` that nothing has: `stem`, `stem`-2 ...; gives its path.

    Raises: OutputError when the file cannot be written.
    """
    return write_new(folder, stem, ".png", lambda part: _write(picture, part, metadata=metadata))


def _write(picture: Picture, path: Path, *, metadata: bool) -> None:
    info = PngInfo()
    if metadata:
        info.add_text(_KEY, json.dumps(picture.metadata(), sort_keys=True))
        info.add_text("parameters", picture.parameters())
    if picture.source_type is not None:
        info.add_itxt(XMP_KEY, _XMP.replace("SOURCE_TYPE", picture.source_type))
    picture.image.save(path, format="PNG", pnginfo=info)


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What `save_picture` wrote: version, request, seed, index, size, model, versions. Nothing in it is executed.

    Raises: ImageError for a file that is no picture, ConfigError for metadata that is missing, damaged or newer.
    """
    text = _text(Path(path))
    try:
        found = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError) as reason:
        raise ConfigError(f"The metadata of {path} is damaged.") from reason
    number = found.get("version") if isinstance(found, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ConfigError(f"The metadata of {path} is damaged: it has no version.")
    if number > METADATA_VERSION:
        raise ConfigError(
            f"The metadata of {path} is of version {number}, made by a newer blipdiff; "
            f"this one reads up to {METADATA_VERSION}. Update blipdiff."
        )
    kinds = {"request": dict, "seed": int, "index": int, "size": list, "model": dict, "versions": dict}
    wrong = [name for name, kind in kinds.items() if not isinstance(found.get(name), kind)]
    if wrong:
        raise ConfigError(f"The metadata of {path} is damaged: {', '.join(wrong)} missing or of another kind.")
    return dict(found)


def _text(path: Path) -> str:
    """What stands under the PNG's own key, wherever in the file other programs have moved it."""
    with picture_file(path) as picture:
        kind = picture.format
    found = None
    if kind == "PNG":
        with file_stream(path) as stream:
            try:
                found = png_text(stream, _KEY, _MOST_CHARACTERS)
            except ValueError as reason:
                raise ConfigError(f"The metadata of {path} cannot be read: {reason}.") from reason
    if found is None:
        raise ConfigError(
            f"{path} carries no settings of blipdiff; it was made by another program or without metadata."
        )
    return found


def _quoted(value: Any) -> str:
    """As other tools do: text with a comma, colon or line break becomes a JSON string."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r"[,:\n\"]", text) else text


def _refused(name: str) -> float:
    raise ValueError(f"{name} is no number")
