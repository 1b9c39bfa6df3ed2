"""The one exception of this tool: what failed, and the cure."""

from __future__ import annotations


class EngineError(Exception):
    """A failure that the reader can act on; printed as ``engine: MESSAGE; CURE``.

    A cure of several lines is printed below the message.
    """

    def __init__(self, message: str, cure: str = "") -> None:
        """Keep the message and the cure apart: callers may replace the cure."""
        super().__init__(message, cure)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        """Return message and cure, as one line if the cure is one."""
        if not self.cure:
            return self.message
        separator = ":\n" if "\n" in self.cure else "; "
        return f"{self.message}{separator}{self.cure}"
