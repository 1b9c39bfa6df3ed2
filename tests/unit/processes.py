"""What tests ask about processes."""

from __future__ import annotations

from pathlib import Path


def lives(pid):
    """Tell whether a process is there, and not just waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
