"""The line: in which order what waits will be drawn, and when each job will be done."""

import heapq
import time
from collections import defaultdict, deque
from collections.abc import Callable

from app.jobs.queue import Queue
from app.jobs.tickets import Standing, Ticket


def in_line(queue: Queue) -> list[Ticket]:
    """What waits, in the order in which it would be taken now."""
    served = queue.turns()
    drawing: dict[str, int] = defaultdict(int)
    for one in queue.tickets(states=("drawing",), most=10**6):
        drawing[_whose(one)] += 1
    lines: dict[int, dict[str, deque[Ticket]]] = defaultdict(lambda: defaultdict(deque))
    for one, _cost in queue.waiting():
        lines[one.priority][_whose(one)].append(one)
    turn, found = max(served.values(), default=0), list[Ticket]()
    for priority in sorted(lines, reverse=True):
        clients = lines[priority]
        while any(clients.values()):
            whose = min(
                (name for name, waiting in clients.items() if waiting),
                key=lambda name: (drawing[name], served.get(name, 0), clients[name][0].created),
            )
            found.append(clients[whose].popleft())
            turn += 1
            served[whose], drawing[whose] = turn, 0
    return found


def standings(queue: Queue, workers: int = 1, clock: Callable[[], float] = time.time) -> dict[str, Standing]:
    """Where each waiting or drawing job stands, with the time until it is done."""
    found: dict[str, Standing] = {}
    free: list[float] = []
    is_known = True
    for one in queue.tickets(states=("drawing",), most=10**6):
        seconds = expected(queue, one)
        left = None if seconds is None else max(0.0, seconds - (clock() - (one.started or clock())))
        found[one.id] = Standing(0, left)
        is_known = is_known and left is not None
        free.append(left or 0.0)
    free += [0.0] * (workers - len(free))
    heapq.heapify(free)
    for place, one in enumerate(in_line(queue), 1):
        seconds = expected(queue, one)
        is_known = is_known and seconds is not None
        done = heapq.heappop(free) + (seconds or 0.0)
        heapq.heappush(free, done)
        found[one.id] = Standing(place, done if is_known else None)
    return found


def expected(queue: Queue, one: Ticket) -> float | None:
    """Seconds that a job takes once it is drawn; None where nothing like it was measured yet."""
    pace = queue.pace.seconds(one.task, one.model)
    return None if pace is None else pace * queue.cost(one.id)


def _whose(one: Ticket) -> str:
    return f"{one.owner}/{one.client}"
