"""The steps of a build, as they are kept of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step that BuildKit took, or found in its cache.

    Attributes:
        name: as BuildKit shows it, on one line: ``[build 2/4] RUN make``.
        started: seconds after the build's beginning.
        seconds: how long it took; 0 for a cached one.
        cached: whether its result came from BuildKit's cache.
        emulated: whether it ran programs of a foreign processor; None where that is not known.
        error: what it failed with, or nothing.
    """

    name: str
    started: float
    seconds: float
    cached: bool = False
    emulated: bool | None = None
    error: str = ""
