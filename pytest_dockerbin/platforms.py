"""Platforms, spelled and compared as Docker does.

The rules are those of containerd's ``platforms`` package (``Parse`` and ``Normalize``), with two
differences: a word that is only an architecture means Linux, whatever this host is; and
``linux/amd64/v1`` stays apart from ``linux/amd64``: the same build, run on a processor of level 1.
"""

from __future__ import annotations

import platform as host_platform
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pytest_dockerbin.errors import SettingsError

_OSES = ("linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "wasip1")
_OS_ALIASES = {"macos": "darwin"}

# architecture -> its variants; the first is the one that is left out of the spelling, but for arm,
# which is always spelled with its variant, and amd64/v1, which is asked for on purpose
_VARIANTS: dict[str, tuple[str, ...]] = {
    "386": ("",),
    "amd64": ("v1", "v2", "v3", "v4"),
    "arm": ("v7", "v5", "v6", "v8"),
    "arm64": ("v8", "v9"),
    "loong64": ("",),
    "mips": ("",),
    "mipsle": ("",),
    "mips64": ("",),
    "mips64le": ("",),
    "ppc64": ("",),
    "ppc64le": ("",),
    "riscv64": ("",),
    "s390x": ("",),
    "wasm": ("",),
}
_ARCHITECTURE_ALIASES: dict[str, tuple[str, str]] = {
    "i386": ("386", ""),
    "i686": ("386", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armv8l": ("arm", "v7"),
    "loongarch64": ("loong64", ""),
    "mips64el": ("mips64le", ""),
}

# CPU flags (as /proc/cpuinfo names them) that a level has and the one below lacks:
# the x86-64 psABI's table of micro-architecture levels
_LEVEL_FLAGS = {
    "v2": {"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"},
    "v3": {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"},
    "v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """An operating system, an architecture and, where it matters, a variant of it.

    Make one with `Platform.parse`; two spellings of one platform are equal.
    """

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read a platform in any of Docker's spellings.

        ``arm64``, ``aarch64`` and ``linux/arm64/v8`` are ``linux/arm64``; ``linux/arm`` is
        ``linux/arm/v7``; ``linux`` is this machine's, and so is ``native``; case does not matter.

        Raises:
            SettingsError: it is not a platform, or several; the closest one is named.
        """
        if not isinstance(text, str):
            raise SettingsError.wrong_value("platform", text, "text such as 'linux/arm64'")
        return _parsed(text, host_platform.machine())

    @classmethod
    def host(cls) -> Platform:
        """Return the Linux platform of this machine's processor: what ``native`` means in lists.

        On macOS and Windows, too, this is the platform that Docker builds by default there.
        """
        return cls.parse("native")

    def __str__(self) -> str:
        name = f"{self.os}/{self.architecture}"
        return f"{name}/{self.variant}" if self.variant else name

    @property
    def slug(self) -> str:
        """The folder name that BuildKit gives this platform: ``linux_arm_v7``."""
        return str(self).replace("/", "_")

    @property
    def built_as(self) -> Platform:
        """What BuildKit builds for it: ``linux/amd64`` for ``linux/amd64/v1``, else itself."""
        if (self.architecture, self.variant) == ("amd64", "v1"):
            return Platform(self.os, self.architecture)
        return self

    @property
    def native(self) -> bool:
        """Whether this host runs it without emulation.

        ``linux/amd64/v2`` and its like, and ``linux/arm/v6``, mean a processor of that level: on a
        newer one, a program built with too new instructions would pass.
        """
        return self.fits_host and not self._host_has_more()

    @property
    def fits_host(self) -> bool:
        """Whether this host's own processor and system execute it, be it a newer processor."""
        if {"win32": "windows"}.get(sys.platform, sys.platform) != self.os:
            return False
        host = Platform.host()
        if self.architecture == "386":
            return host.architecture == "amd64" or host == self
        if self.architecture != host.architecture:
            return False
        if self.architecture == "amd64":
            return _host_has_level(self.variant)
        return self.variant <= host.variant

    def _host_has_more(self) -> bool:
        """Tell whether this processor, of the same architecture, goes beyond the level."""
        if self.architecture == "arm":
            return self.variant in ("v5", "v6") and Platform.host().variant > self.variant
        higher = {"v1": "v2", "v2": "v3", "v3": "v4"}.get(self.variant)
        return self.architecture == "amd64" and higher is not None and _host_has_level(higher)

    def to_json(self) -> str:
        """Return Docker's spelling, which `parse` reads."""
        return str(self)


@cache
def _host_has_level(level: str) -> bool:
    if level in ("", "v1"):
        return True
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return False
    found = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(), re.MULTILINE)
    flags = set(found.group(1).split()) if found else set()
    levels = [name for name in _LEVEL_FLAGS if name <= level]
    return all(_LEVEL_FLAGS[name] <= flags for name in levels)


def is_pattern(text: str) -> bool:
    """Tell whether a word is a pattern, such as ``linux/*``, and not the name of a platform."""
    return not _PATTERN_SIGNS.isdisjoint(text)


_PATTERN_SIGNS = frozenset("*?[")


@cache  # every test names its platforms: 10 us a name
def _parsed(text: str, machine: str) -> Platform:
    """Read a platform; the machine decides what the words ``native`` and ``linux`` mean."""
    words = text.strip().lower().split("/")
    if words == ["native"]:
        return _parsed(machine or "amd64", machine)
    if words == ["auto"] or "," in text or is_pattern(text):
        raise SettingsError(f"{text!r} is not one platform; expected one, such as linux/arm64")
    if not 1 <= len(words) <= 3 or not all(re.fullmatch(r"[a-z0-9_.-]+", w) for w in words):  # noqa: PLR2004 (os, architecture, variant)
        raise _not_a_platform(text)
    if len(words) == 1:
        if _OS_ALIASES.get(words[0], words[0]) in _OSES:  # only a system: of this processor
            words += str(_parsed("native", machine)).split("/")[1:]
        else:
            words = ["linux", *words]
    os_name = _OS_ALIASES.get(words[0], words[0])
    architecture, variant = _ARCHITECTURE_ALIASES.get(words[1], (words[1], ""))
    if len(words) == 3 and not variant:  # noqa: PLR2004 (given, and not said by the alias)
        variant = words[2] if words[2].startswith("v") else f"v{words[2]}"
    known = _VARIANTS.get(architecture)
    if os_name not in _OSES or known is None or (variant and variant not in known):
        raise _not_a_platform(text)
    if architecture == "arm":
        variant = variant or known[0]
    elif variant == known[0] and architecture != "amd64":
        variant = ""
    return Platform(os_name, architecture, variant)


def _not_a_platform(text: str) -> SettingsError:
    form = "OS/ARCHITECTURE[/VARIANT], such as linux/arm64"
    return SettingsError.unknown("platform", text, _spellings(), form=form)


@cache
def _spellings() -> tuple[str, ...]:
    """What a mistyped platform is compared with: the common ones, in each spelling."""
    platforms = {"linux/arm/v5", "linux/arm/v6", "linux/arm/v7", *_VARIANTS}
    platforms |= {f"linux/{name}" for name in _VARIANTS if name not in {"arm", "wasm"}}
    platforms |= {"linux/x86_64", "linux/aarch64"}
    platforms |= {f"linux/amd64/{level}" for level in _VARIANTS["amd64"]}
    platforms |= {f"{os_name}/{name}" for os_name in _OSES for name in ("amd64", "arm64")}
    platforms -= {"wasip1/amd64", "wasip1/arm64"}
    return (*sorted(platforms), "wasip1/wasm", "native", "auto")
