"""What goes wrong between the machines of a cluster."""

from blipdiff.errors import BlipdiffError


class ClusterError(BlipdiffError):
    """A cluster that is not there, or whose replicas do not draw."""


class LostError(ClusterError):
    """Whoever drew a job is gone in the middle of it."""


TWICE = (  # it begins as all faults do, app.jobs.tickets.FAULT
    "The program ended twice on the machines that drew this, the second time on another one; the others' jobs go on."
)
