"""Pictures with everything needed to repeat them, as PNG files."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from blipdiff.errors import OutputError
from blipdiff.outputs import write_new, written_file
from pipelines.metadata import METADATA_KEY, METADATA_VERSION, library_versions, without_places

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


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture with what it was made by.

    job: the one that draws exactly this picture, as JSON can hold it; model: the identity of what drew it; part: what
    a picture is that stands beside another one of this job
    """

    image: Image.Image
    seed: int
    job: Mapping[str, Any]
    model: Mapping[str, Any]
    place: Mapping[str, str] = field(default_factory=dict)  # device, dtype and engine that drew it
    versions: Mapping[str, str] = field(default_factory=library_versions)
    part: str | None = None
    safety: Mapping[str, Any] | None = None  # what a safety checker said of it, where one was asked for
    scores: Mapping[str, Any] | None = None  # for prompt and subject, where pictures were chosen from
    source_type: str | None = SOURCE_TYPE  # None for a picture that nothing was generated in

    @property
    def request(self) -> Mapping[str, Any]:
        """What was asked for, as JSON can hold it."""
        return self.job["request"]  # type: ignore[no-any-return]

    @property
    def index(self) -> int:
        """The picture's place among those of its request, from 0."""
        return int(self.job.get("index") or 0)

    def metadata(self) -> dict[str, Any]:
        """Everything but the pixels, as the PNG's own key holds it."""
        return {
            "version": METADATA_VERSION,
            "job": without_places(self.job),
            "seed": self.seed,
            "size": list(self.image.size),
            "model": dict(self.model),
            "place": dict(self.place),
            "versions": dict(self.versions),
            **({} if self.part is None else {"part": self.part}),
            **({} if self.safety is None else {"safety": dict(self.safety)}),
            **({} if self.scores is None else {"scores": dict(self.scores)}),
        }

    def parameters(self) -> str:
        """The text that other tools read: prompt, negative prompt, and one line of settings."""
        lines = [str(self.request.get("prompt", ""))]
        if self.request.get("negative"):
            lines.append(f"Negative prompt: {self.request['negative']}")
        settings = self._asked(_BEFORE_SEED)
        settings |= {"Seed": self.seed, "Size": f"{self.image.width}x{self.image.height}"}
        settings |= self._asked(_AFTER_SIZE)
        if self.request.get("variation"):
            settings["Variation seed"] = int(self.request.get("variation_seed", 0)) + self.index
            settings["Variation seed strength"] = self.request["variation"]
        settings |= {"Model hash": self.model.get("fingerprint"), "Model": self.model.get("name")}
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
        info.add_text(METADATA_KEY, json.dumps(picture.metadata(), sort_keys=True))
        info.add_text("parameters", picture.parameters())
    if picture.source_type is not None:
        info.add_itxt(XMP_KEY, _XMP.replace("SOURCE_TYPE", picture.source_type))
    picture.image.save(path, format="PNG", pnginfo=info)


def _quoted(value: Any) -> str:
    """As other tools do: text with a comma, colon or line break becomes a JSON string."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r"[,:\n\"]", text) else text
