"""How commands write for people: tables, sizes, and names that a stranger chose."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_KIB = 1024
_GAP = "  "  # between columns


def table(
    head: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    *,
    right: Collection[str] = (),
    width: int | None = None,
) -> list[str]:
    """Return the lines of a table.

    Args:
        head: the columns' names.
        rows: the cells of each row, as many as there are columns.
        right: names of columns whose cells stand at the right.
        width: the most signs of a line; in a table that is wider, the last cell of each row
            stands on a line of its own. No limit when None.
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    if width is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        lines = table(head[:-1], [row[:-1] for row in rows], right=right)
        lasts = (row[-1] for row in (head, *rows))
        return [text for pair in zip(lines, lasts, strict=True) for text in _folded(*pair)]
    return [
        _GAP.join(
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ).rstrip()
        for row in (head, *rows)
    ]


def _folded(line: str, last: str) -> tuple[str, ...]:
    return (line, f"{_GAP}{last}") if last else (line,)


def size_text(count: int) -> str:
    """Return bytes in the largest unit that leaves a number of at least 1."""
    number = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < _KIB:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= _KIB
    return f"{number:.1f} TiB"


def plain(text: str) -> str:
    """Return a text without control characters: names of files are a stranger's."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)
