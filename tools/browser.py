"""``python3 tools/browser.py``: have Chromium for the tests marked ``browser``.

As root on Debian it is installed with apt-get. Elsewhere it is the machine's owner's: without it
these tests are skipped, and fail on CI.
"""

from __future__ import annotations

import shutil
import sys

from engine import apt, shell
from engine.errors import EngineError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def main() -> int:
    """Return the exit code."""
    if any(map(shutil.which, PROGRAMS)):
        return 0
    if not (apt.machine().is_debian and shell.is_root()):
        print("browser: no Chromium is installed: the tests that need it can't run")
        return 0
    try:
        apt.install(["chromium"])
    except EngineError as error:
        print(f"browser: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
