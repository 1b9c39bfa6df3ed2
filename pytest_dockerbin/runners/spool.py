"""Keeps what a running program writes, whether anybody reads it or not."""

from __future__ import annotations

import io
import os
import threading
import time
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

_BLOCK = 64 * 1024


class Spool:
    """The last part of one stream, read from its pipe by a thread.

    So the program never waits for a reader. Places in the stream are counted from its beginning.

    Args:
        pipe: the reading end; closed when the program has closed its own.
        most: bytes to keep.
        changed: told whenever something came.
    """

    def __init__(self, pipe: IO[bytes], most: int, changed: threading.Condition) -> None:
        self._pipe = pipe
        self._most = most
        self._changed = changed
        self._kept = bytearray()
        self._dropped = 0
        self.ended_at: float | None = None  # by the clock of `time.monotonic`
        self._thread = threading.Thread(target=self._fill, daemon=True)
        self._thread.start()

    def _fill(self) -> None:
        with self._pipe:
            while block := os.read(self._pipe.fileno(), _BLOCK):
                with self._changed:
                    self._kept += block
                    excess = len(self._kept) - self._most
                    if excess > 0:
                        del self._kept[:excess]
                        self._dropped += excess
                    self._changed.notify_all()
        with self._changed:
            self.ended_at = time.monotonic()
            self._changed.notify_all()

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self.ended_at is not None

    def join(self, timeout: float) -> None:
        """Wait until the stream has ended."""
        self._thread.join(timeout)

    def kept(self) -> bytes:
        """Return what is kept."""
        with self._changed:
            return bytes(self._kept)

    def take(self, at: int, most: int) -> tuple[bytes, int]:
        """Return bytes from a place on, and the place behind them; wait for at least one.

        Nothing at the stream's end. What was dropped before it was read is left out.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self.ended or at < self._dropped + len(self._kept),
            )
            begin = max(at, self._dropped)
            data = bytes(self._kept[begin - self._dropped :][:most])
            return data, begin + len(data)

    def lines(self, at: int) -> Iterator[tuple[str, int]]:
        """Return the whole lines from a place on, each with the place behind it."""
        with self._changed:
            begin = max(at, self._dropped)
            data, ended = bytes(self._kept[begin - self._dropped :]), self.ended
        for line in data.splitlines(keepends=True):
            if not line.endswith(b"\n") and not ended:
                return
            begin += len(line)
            yield line.decode(errors="replace").rstrip("\r\n"), begin


class SpoolReader(io.RawIOBase):
    """A `Spool` as a file that waits for more, until the program has closed its end."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._at = 0

    def readable(self) -> bool:  # noqa: D102 (as the base class says)
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:  # noqa: D102
        view = memoryview(buffer)
        data, self._at = self._spool.take(self._at, len(view))
        view[: len(data)] = data
        return len(data)
