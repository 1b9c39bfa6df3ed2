"""Measures pytest runs in forks of one warmed process: of two whole processes, 4 % is noise.

Run as a program of its own: only a process with a single thread may fork.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def measure(variants: list[list[str]], rounds: int) -> list[list[list[float]]]:
    """Return wall and CPU seconds of each variant's runs, taken in turns.

    Args:
        variants: pytest's arguments.
        rounds: runs of each; one more before that does not count.
    """
    import pytest  # noqa: PLC0415 (before the forks, and without any plugin)

    taken: list[list[list[float]]] = [[] for _ in variants]
    for number in range(-1, rounds):
        order = range(len(variants)) if number % 2 else reversed(range(len(variants)))
        for index in order:
            began = time.perf_counter()
            child = os.fork()
            if child == 0:
                null = os.open(os.devnull, os.O_RDWR)
                os.dup2(null, 1)
                os.dup2(null, 2)
                os._exit(int(pytest.main(variants[index])))
            _, status, usage = os.wait4(child, 0)
            wall = time.perf_counter() - began
            if status:
                sys.exit(f"pytest {' '.join(variants[index])}: status {status}")
            if number >= 0:
                taken[index].append([wall, usage.ru_utime + usage.ru_stime])
    return taken


if __name__ == "__main__":
    order = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps(measure(order["variants"], order["rounds"])))
