"""A program of its own that draws a folder's queue with the tiny model until it is killed; run by the tests of kills.

Arguments: the folder; where servers share one, the database's URL and the results' place. For each line that it is
sent it begins anew, in a process that it names; a line says when that has ended.
"""

import os
import sys
import time
from pathlib import Path

import torch

from app.jobs.workshop import Workshop
from tests.support.workshops import machine, tiny_studio


def draw(folder: Path, database: str | None = None, results: str | None = None) -> None:
    made = Workshop(folder, machine(), library=folder / "subjects", database=database, results=results)
    made.start()
    while made.queue.count(("waiting", "drawing")):
        time.sleep(0.02)
    made.close()


def main() -> None:
    torch.set_num_threads(1)
    tiny_studio()  # once for all of them
    print("ready", flush=True)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            draw(Path(sys.argv[1]), *sys.argv[2:])
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print("killed" if os.WIFSIGNALED(status) else "done", flush=True)


if __name__ == "__main__":
    main()
