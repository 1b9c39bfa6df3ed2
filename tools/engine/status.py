"""What is running, as a table or as JSON."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from engine import daemon, docker, lifecycle
from engine.emulators import executable_platforms
from engine.flavours import flavours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.flavours import Flavour
    from engine.layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One flavour's state."""

    flavour: str
    running: str
    """``ours``, ``found`` or ``no``."""
    engine: str = ""
    buildx: str = ""
    store: str = ""
    socket: str = ""


def look(each: Flavour) -> Row:
    """Look at one flavour."""
    if each.has_own_client and not daemon.is_up(each):
        return Row(flavour=each.name, running="no")
    environment = each.environment(os.environ)
    answer = docker.ask(environment)
    if not answer.engine:
        return Row(flavour=each.name, running="no", buildx=answer.buildx)
    return Row(
        flavour=each.name,
        running=lifecycle.whose(each),
        engine=answer.engine,
        buildx=answer.buildx,
        store=docker.store(environment),
        socket=docker.endpoint(environment),
    )


def table(rows: Sequence[Row]) -> str:
    """Return the rows as aligned columns."""
    titles = list(Row.__dataclass_fields__)
    cells = [titles, *([value or "-" for value in asdict(row).values()] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(titles))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def status(layout: Layout, *, as_json: bool) -> None:
    """Print the state of all flavours, and what this machine can execute."""
    rows = [look(each) for each in flavours(layout)]
    platforms = executable_platforms()
    if as_json:
        facts = {"flavours": [asdict(row) for row in rows], "platforms": platforms}
        print(json.dumps(facts, indent=2))
    else:
        print(table(rows))
        print(f"executes here: {', '.join(platforms)}")
