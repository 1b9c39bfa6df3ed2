"""Times whole processes in turns: on a shared machine only what ran side by side compares."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


class Sample(NamedTuple):
    """One measurement.

    Attributes:
        wall: seconds on the clock.
        cpu: seconds of processor time, of all processes that were waited for.
        memory: the largest resident set of one of them, in bytes.
    """

    wall: float
    cpu: float
    memory: int


@dataclass(frozen=True)
class Series:
    """The measurements of one contestant."""

    samples: tuple[Sample, ...]

    @property
    def wall(self) -> float:
        """The median of the seconds on the clock."""
        return statistics.median(sample.wall for sample in self.samples)

    @property
    def cpu(self) -> float:
        """The median of the seconds of processor time."""
        return statistics.median(sample.cpu for sample in self.samples)

    @property
    def memory(self) -> int:
        """The median of the largest resident sets, in bytes."""
        return int(statistics.median(sample.memory for sample in self.samples))

    @property
    def spread(self) -> float:
        """Half of the distance between the quartiles, as a part of the median."""
        if len(self.samples) < 2:  # noqa: PLR2004 (one has no quartiles)
            return 0.0
        low, _, high = statistics.quantiles((sample.wall for sample in self.samples), n=4)
        return (high - low) / 2 / self.wall


class FailedError(Exception):
    """A contestant did not do its work."""


def run(command: Sequence[str], cwd: Path, env: Mapping[str, str], *, expect: int = 0) -> Sample:
    """Run a command to its end, and measure it with all its children.

    Raises:
        FailedError: its exit code is not ``expect``; with the end of what it printed.
    """
    log = cwd / ".bench-output"
    with log.open("w+") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != expect:
            output.seek(0)
            end = "\n".join(output.read().splitlines()[-15:])
            raise FailedError(f"{' '.join(command)}: exit code {process.returncode}\n{end}")
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def in_turns(
    contestants: Mapping[str, Callable[[], Sample]], rounds: int, *, warm: int = 1
) -> dict[str, Series]:
    """Measure each contestant once in a round, in an order that moves on with each round.

    Args:
        contestants: what to measure, by name.
        rounds: how often.
        warm: rounds before that count for nothing: they fill caches.
    """
    taken: dict[str, list[Sample]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(-warm, rounds):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            sample = contestants[name]()
            if number >= 0:
                taken[name].append(sample)
    return {name: Series(tuple(samples)) for name, samples in taken.items()}


def in_process(call: Callable[[], object]) -> Sample:
    """Measure a call in this process; its memory is not told."""
    began, cpu = time.perf_counter(), time.process_time()
    call()
    return Sample(time.perf_counter() - began, time.process_time() - cpu, 0)
