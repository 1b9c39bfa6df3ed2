"""Where this tool keeps its files. Everything is below one folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

HOME_VARIABLE = "PYTEST_DOCKERBIN_ENGINE_HOME"
DEFAULT_HOME = Path("/var/lib/pytest-dockerbin-engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The state folder.

    ::

        lock                     one start or stop at a time
        apt/SUITE-ARCH/          package lists of other suites
        sets/main, sets/floor    unpacked Docker programs
        main, floor, classic     one engine each: see Flavour
        images/NAME/             base images as OCI layouts
        busybox/                 static busybox files
        registry/                an image registry's program
    """

    home: Path

    @classmethod
    def from_environment(cls) -> Layout:
        """Return the layout that the environment asks for."""
        # Absolute without following links: the engine's command line is compared
        # with these paths later.
        home = Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).expanduser()
        return cls(home=Path(os.path.abspath(home)))  # noqa: PTH100 - see above

    @property
    def lock(self) -> Path:
        """The lock file of ``start`` and ``stop``."""
        return self.home / "lock"

    @property
    def apt(self) -> Path:
        """Package lists and downloads of other suites."""
        return self.home / "apt"

    @property
    def sets(self) -> Path:
        """Unpacked Docker programs."""
        return self.home / "sets"

    @property
    def images(self) -> Path:
        """Base images, kept as OCI layouts."""
        return self.home / "images"

    @property
    def busybox(self) -> Path:
        """Static busybox files, one for each architecture."""
        return self.home / "busybox"

    @property
    def registry(self) -> Path:
        """The program of an image registry."""
        return self.home / "registry"
