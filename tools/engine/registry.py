"""An image registry of one's own: the program only, which is run where a test needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine import apt
from engine.locks import locked
from engine.programs import fetch

if TYPE_CHECKING:
    from pathlib import Path

    from engine.layout import Layout

_NAME = "docker-registry"


def registry(layout: Layout) -> Path:
    """Return the program, which is Debian's; it needs nothing but its configuration."""
    place = layout.registry / _NAME
    with locked(layout.registry / "lock"):
        if not place.exists():
            fetch(_NAME, _NAME, apt.machine().architecture, place, layout)
    return place
