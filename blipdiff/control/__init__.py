"""Structure from another picture: control branches."""

from blipdiff.control.adapter import AdapterBranch
from blipdiff.control.controlnet import ControlBranch

__all__ = ["AdapterBranch", "ControlBranch"]
