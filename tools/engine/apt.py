"""Debian packages: the machine's own by apt-get, those of other suites beside them.

The machine's own sources are read, never written. Another suite has a folder with its
own lists and downloads, and an apt.conf that points there.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from engine.locks import locked
from engine.shell import LONG, run, say
from engine.sources import choose, parse_deb822, parse_one_line, parse_os_release

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.sources import Source

# It knows the keys of all suites; a release's own key file does not.
_ARCHIVE_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_NETWORK_CURE = "see that `apt-get update` works on this machine, then try again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The distribution this script runs on."""

    identifier: str
    codename: str
    architecture: str

    @property
    def is_debian(self) -> bool:
        """Debian proper: its archive has the other suites."""
        return self.identifier == "debian"

    @property
    def has_apt(self) -> bool:
        """Debian or Ubuntu."""
        return self.identifier in {"debian", "ubuntu"}


@cache
def machine() -> Machine:
    """Look at the machine once."""
    try:
        release = parse_os_release(Path("/etc/os-release").read_text(encoding="utf-8"))
    except OSError:
        release = {}
    done = run(["dpkg", "--print-architecture"], check=False)
    return Machine(
        identifier=release.get("ID", ""),
        codename=release.get("VERSION_CODENAME", ""),
        architecture=done.stdout.strip(),
    )


def machine_sources() -> Iterator[Source]:
    """Read every archive that the machine's apt is configured with."""
    asked = ("LIST", "Dir::Etc::SourceList/f", "PARTS", "Dir::Etc::SourceParts/d")
    done = run(["apt-config", "shell", *asked])
    settings = dict(word.split("=", 1) for word in shlex.split(done.stdout) if "=" in word)
    files = [Path(settings.get("LIST", ""))]
    files += sorted(Path(settings.get("PARTS", "/nonexistent")).glob("*"))
    for file in files:
        if not file.is_file():
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        if file.suffix == ".list":
            yield from parse_one_line(text)
        elif file.suffix == ".sources":
            yield from parse_deb822(text)


def own_candidate(package: str) -> str:
    """Return the version that the machine's own suite would install, or an empty text."""
    return parse_candidate(run(["apt-cache", "policy", package], check=False).stdout)


def parse_candidate(policy: str) -> str:
    """Read the candidate version in the output of ``apt-cache policy``."""
    match = re.search(r"^\s*Candidate:\s*(\S+)", policy, re.MULTILINE)
    return match[1] if match and match[1] != "(none)" else ""


def refresh() -> None:
    """Fetch the machine's own package lists."""
    say("refreshing the package lists with apt-get update")
    run(["apt-get", "-q", "update"], timeout=LONG, cure=_NETWORK_CURE)


def install(packages: Sequence[str]) -> None:
    """Install packages of the machine's own suite."""
    command = [
        # Packages of another vendor conflict with Debian's: fail rather than replace them.
        *("apt-get", "-y", "-q", "--no-install-recommends", "--no-remove"),
        # Another apt on the machine may be at work; wait for it.
        "-oDPkg::Lock::Timeout=600",
        "install",
        *packages,
    ]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    say(f"installing {' '.join(packages)} with apt-get")
    done = run(command, env=environment, timeout=LONG, check=False)
    if done.returncode != 0:
        # The lists may be missing or older than the mirror.
        refresh()
        run(command, env=environment, timeout=LONG, cure=_NETWORK_CURE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One suite of the machine's archive, for one architecture, with a state of its own."""

    name: str
    architecture: str
    folder: Path

    @classmethod
    def open(cls, name: str, architecture: str, home: Path) -> Suite:
        """Prepare the suite's folder."""
        folder = home / f"{name}-{architecture}"
        for part in ("lists/partial", "archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        # No package counts as installed, and nothing is pinned.
        (folder / "status").touch()
        source = choose(machine_sources(), machine().codename)
        # A mirror that signs by itself keeps its key; Debian's own key may be the release's
        # only, which does not vouch for the others.
        keyring = source.signed_by
        if (not keyring or "debian-archive" in keyring) and _ARCHIVE_KEYRING.exists():
            keyring = str(_ARCHIVE_KEYRING)
        with locked(folder / "lock"):
            text = source.render(name, keyring)
            (folder / "suite.sources").write_text(text, encoding="utf-8")
            text = render_conf(folder, architecture)
            (folder / "apt.conf").write_text(text, encoding="utf-8")
        return cls(name=name, architecture=architecture, folder=folder)

    def _apt(self, program: str, *arguments: str, cwd: Path | None = None) -> str:
        # -c is read after the machine's own settings (proxies, certificates), which stay.
        command = [program, "-c", str(self.folder / "apt.conf"), *arguments]
        return run(command, timeout=LONG, cwd=cwd, cure=_NETWORK_CURE).stdout

    def update(self) -> None:
        """Fetch the suite's package lists."""
        with locked(self.folder / "lock"):
            self._apt("apt-get", "-q", "update")

    def candidate(self, package: str) -> str:
        """Return the package's version in this suite, or an empty text."""
        return parse_candidate(self._apt("apt-cache", "policy", package))

    def download(self, packages: Sequence[str], folder: Path) -> list[Path]:
        """Download these packages, without what they need, into an empty folder."""
        with locked(self.folder / "lock"):
            self._apt("apt-get", "-q", "download", *packages, cwd=folder)
        return sorted(folder.glob("*.deb"))

    def download_with_dependencies(self, packages: Sequence[str]) -> list[Path]:
        """Download these packages and all they need; what is there already is kept.

        apt moves a file out of ``partial`` after checking it, so that an interrupted
        download never counts as one.
        """
        archives = self.folder / "archives"
        with locked(self.folder / "lock"):
            self._apt(
                "apt-get",
                *("-q", "-y", "--no-install-recommends", "--download-only", "install"),
                *packages,
            )
        return sorted(archives.glob("*.deb"))

    def forget_downloads(self) -> None:
        """Delete the downloaded packages."""
        for file in (self.folder / "archives").glob("*.deb"):
            file.unlink()


def render_conf(folder: Path, architecture: str) -> str:
    """Return an apt.conf that keeps all of apt's state in ``folder``."""
    settings = {
        "Dir::Etc::SourceList": folder / "suite.sources",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::State::extended_states": folder / "extended_states",
        "Dir::Cache": folder,
        "Dir::Cache::Archives": folder / "archives",
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Default-Release": "",
        # The download user cannot write below this folder.
        "APT::Sandbox::User": "root",
        "Acquire::GzipIndexes": "true",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    lines = [f'{name} "{value}";' for name, value in settings.items()]
    # Hooks are about the machine's own packages: let nothing run for these.
    hooks = (
        "APT::Update::Pre-Invoke",
        "APT::Update::Post-Invoke",
        "APT::Update::Post-Invoke-Success",
    )
    return "\n".join(
        [*(f"#clear {hook};" for hook in hooks), "#clear APT::Architectures;", *lines, ""]
    )
