"""Folders where programs live: an empty one to work in for each run, and a home that they share.

So a program changes nothing of the user's, and no run finds what another one left where it works.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from pytest_dockerbin.folders import delete


class Quarters:
    """The folders of one process's programs.

    Args:
        folder: below which they are made, once a program is run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: Path | None = None
        self._pid = 0
        self._count = 0
        self._free: list[str] = []
        self._variables: dict[str, str] = {}
        self._lock = threading.Lock()

    def variables(self) -> dict[str, str]:
        """Return the variables that name home and the folder of temporary files."""
        self._settle()
        return self._variables

    def take(self) -> str:
        """Return an empty folder that is nobody else's until it is given back."""
        self._settle()
        with self._lock:
            if self._free:
                return self._free.pop()
            self._count += 1
            number = self._count
        folder = f"{self._own}/{number}"
        os.mkdir(folder, 0o700)  # noqa: PTH102 (a name, not a path, is what a run needs)
        # then it changes whenever something in it is made, however soon after this
        os.utime(folder, (0, 0))
        return folder

    def give_back(self, folder: str) -> None:
        """Take a folder back: for the next program if it is as it was, else to delete it."""
        # to make one for each run takes 60 µs of a run that takes 600, this 2
        with suppress(OSError):
            facts = os.stat(folder)  # noqa: PTH116 (as above)
            if facts.st_mtime_ns == 0 and facts.st_mode & 0o777 == 0o700:  # noqa: PLR2004
                self._free.append(folder)
                return
        delete(Path(folder))

    def close(self) -> None:
        """Delete them all."""
        if self._own is not None and self._pid == os.getpid():
            delete(self._own)
        self._own = None
        self._free.clear()

    def _settle(self) -> None:
        """Make the folders of this process; a forked one has its own."""
        if self._own is not None and self._pid == os.getpid():
            return
        with self._lock:
            self._pid = os.getpid()
            own = self._folder / f"p{self._pid}"
            for name in ("home", "tmp"):
                (own / name).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._free.clear()
            self._count = 0
            self._variables = {"HOME": str(own / "home"), "TMPDIR": str(own / "tmp")}
            self._own = own
