"""Digests of large files, two at once: of all that is done with them, hashing takes the longest."""

from __future__ import annotations

import hashlib
import os
from threading import BoundedSemaphore, Thread

_AT_ONCE = 2  # more would take processors from other platforms' exports


class Digests:
    """Reads files in threads of its own, until it is closed."""

    def __init__(self) -> None:
        self._room = BoundedSemaphore(_AT_ONCE)
        self._threads: list[Thread] = []
        self._found: dict[str, str | OSError] = {}

    def begin(self, name: str, descriptor: int) -> None:
        """Begin with a file; ``descriptor`` stays the caller's, who does not read it meanwhile."""
        self._room.acquire()
        thread = Thread(target=self._read, args=(name, os.dup(descriptor)))
        self._threads.append(thread)
        thread.start()

    def _read(self, name: str, descriptor: int) -> None:
        try:
            with open(descriptor, "rb") as file:
                file.seek(0)
                self._found[name] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            self._found[name] = error
        finally:
            self._room.release()

    def found(self) -> dict[str, str]:
        """Return the SHA-256 of each file in hexadecimal, by its name; for after `close`.

        Raises:
            OSError: one could not be read.
        """
        digests: dict[str, str] = {}
        for name, digest in self._found.items():
            if isinstance(digest, OSError):
                raise digest
            digests[name] = digest
        return digests

    def close(self) -> None:
        """Wait until all files are read."""
        for thread in self._threads:
            thread.join()
