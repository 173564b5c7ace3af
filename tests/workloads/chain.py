"""A chain of processes that each fork once and never exec: a file to wait for and a call in, the last one's call out.

usage: chain.py KIND SIGN CALL, with a line on the standard input, or its end, to begin; needs nothing but Python.

Each generation looks for the file SIGN. Where it is, the generation makes CALL and is the last one; otherwise it forks
the next one some milliseconds later, and ends (`orphans`), ends too but forks by a second thread (`threads`), or waits
(`line`). Everybody is waited for. It is bounded in generations, of which the last one that may be goes on looking, and
seconds; its first process says "done" once the last generation made its call, or "gave up".
"""

from __future__ import annotations

import os
import sys
import threading
import time

CALLS = {"getsid": lambda: os.getsid(0), "getpgid": lambda: os.getpgid(0), "getresuid": os.getresuid}
PACE = 0.002
GENERATIONS = {"orphans": 8000, "threads": 8000, "line": 500}
SECONDS = 120.0


def generation(kind: str, sign: str, call: str, number: int, deadline: float) -> None:
    """One generation after the other, each in its own process; never returns."""
    while True:
        if os.path.exists(sign):
            CALLS[call]()
            os._exit(0)
        if time.monotonic() > deadline:
            os._exit(1)
        time.sleep(PACE)
        if number == GENERATIONS[kind]:
            continue
        number += 1
        if kind == "threads":
            following = threading.Thread(target=step, args=(kind, sign, call, number, deadline))
            following.start()
            following.join()
            os._exit(0)
        child = os.fork()
        if child and kind == "line":
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        if child:
            os._exit(0)


def step(kind: str, sign: str, call: str, number: int, deadline: float) -> None:
    """The next generation, forked by this thread, of which it is all that there is."""
    if os.fork() == 0:
        generation(kind, sign, call, number, deadline)


def main() -> None:
    kind, sign, call = sys.argv[1:]
    if os.getpid() != 1:
        import ctypes  # not in every image; there we are the first process, and every orphan's parent

        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    print("ready", flush=True)
    sys.stdin.readline()
    if os.fork() == 0:
        generation(kind, sign, call, 0, time.monotonic() + SECONDS)
    worst = 0
    while True:
        try:
            worst = max(worst, os.waitstatus_to_exitcode(os.wait()[1]))
        except ChildProcessError:
            break
    print("gave up" if worst else "done", flush=True)


if __name__ == "__main__":
    main()
