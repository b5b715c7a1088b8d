"""Who asks, as the gate has found out, and what that caller may see and do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from app.api.gate import CLIENT, HOLDER
from app.api.problems import Refused, not_found
from app.api.tokens import ALL, DRAW, READ, SCOPES, SUBJECTS, Holder
from app.jobs.entries import Entry
from app.jobs.tickets import ENDED, STATES, Sender, Ticket, is_name
from app.jobs.workshop import Workshop


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who was let in."""

    holder: Holder
    client: str
    workshop: Workshop

    @property
    def owner(self) -> str | None:
        """Whose things are seen; None for everybody's."""
        return None if self.holder.may(ALL) else self.holder.name

    def sender(self, source: str) -> Sender:
        """Who asks for a job."""
        return Sender(self.holder.name, self.client, source)

    def ticket(self, name: str) -> Ticket:
        """A job that the caller may see. Raises: Refused where there is none."""
        found = self.workshop.queue.find(name) if is_name(name) else None
        if found is None or self.owner not in (None, found.owner):
            raise not_found("job")
        return found

    def entry(self, name: str) -> Entry:
        """A result that the caller may see. Raises: Refused where there is none."""
        found = self.workshop.history.find(name[:40])
        if found is None or self.owner not in (None, found.owner):
            raise not_found("result")
        return found

    def check_room(self, count: int, jobs: int = 1) -> None:
        """Passes while so many jobs, each of `count` pictures, are not too much for the caller.

        Raises: Refused otherwise.
        """
        if count > self.holder.pictures:
            raise Refused(422, f"{count} pictures were asked for in one job; {self.holder.pictures} are allowed.")
        unended = tuple(state for state in STATES if state not in ENDED)
        waiting = self.workshop.queue.count(unended, self.holder.name)
        if waiting + jobs > self.holder.waiting:
            raise Refused(
                429, f"{waiting} jobs wait already, and {self.holder.waiting} may at a time; wait for some of them."
            )


def caller_with(scope: str) -> Callable[[Request], Caller]:
    """What finds the caller of a request, who must have the scope."""

    def found(request: Request) -> Caller:
        holder: Any = request.scope.get(HOLDER)
        if not isinstance(holder, Holder):
            raise Refused(401, "Show a token: Authorization: Bearer TOKEN.")
        if not holder.may(scope):
            raise Refused(403, f"This token may not {SCOPES[scope]}; it needs the scope '{scope}'.")
        return Caller(holder, str(request.scope[CLIENT]), request.app.state.workshop)

    return found


Reader = Annotated[Caller, Depends(caller_with(READ))]
Drawer = Annotated[Caller, Depends(caller_with(DRAW))]
Librarian = Annotated[Caller, Depends(caller_with(SUBJECTS))]
