"""Structure from another picture: control branches."""

from blipdiff.control.controlnet import ControlBranch

__all__ = ["ControlBranch"]
