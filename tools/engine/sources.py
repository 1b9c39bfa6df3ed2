"""Reading the machine's own apt configuration: which mirror, signed by which keyring."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Debian's other names for a release; a machine may be configured by one of them.
_DEBIAN_ALIASES = ("stable", "testing", "unstable", "sid", "oldstable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One archive that apt knows."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""
    """A path, or a whole key (as deb822 allows), or empty."""
    trusted: bool = False

    def render(self, suite: str, keyring: str) -> str:
        """Return the contents of a ``.sources`` file for another suite of this archive."""
        lines = [
            "Types: deb",
            f"URIs: {' '.join(self.uris)}",
            f"Suites: {suite}",
            f"Components: {self.components[0]}",
        ]
        if keyring:
            lines.append(f"Signed-By: {keyring}")
        if self.trusted:
            lines.append("Trusted: yes")
        return "\n".join(lines) + "\n"


def parse_one_line(text: str) -> Iterator[Source]:
    """Read ``deb [options] URI SUITE COMPONENT...`` lines."""
    for raw in text.splitlines():
        line = raw.split("#", 1)[0].strip()
        match = re.fullmatch(r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<rest>\S.*)", line)
        if not match:
            continue
        options = dict(
            option.split("=", 1) for option in (match["options"] or "").split() if "=" in option
        )
        words = str(match["rest"]).split()
        if len(words) > 1:
            yield Source(
                uris=(words[0],),
                suites=(words[1],),
                components=tuple(words[2:]),
                signed_by=options.get("signed-by", ""),
                trusted=_is_yes(options.get("trusted", "")),
            )


def parse_deb822(text: str) -> Iterator[Source]:
    """Read the paragraphs of a ``.sources`` file."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for paragraph in re.split(r"\n(?:[ \t]*\n)+", "\n".join(lines)):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line[:1] in {" ", "\t"} and name:
                # Kept as it is: a key is several lines.
                fields[name] += f"\n{line}"
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if (
            "deb" in fields.get("types", "").split()
            and fields.get("uris")
            and fields.get("suites")
            and not _is_no(fields.get("enabled", ""))
        ):
            yield Source(
                uris=tuple(fields["uris"].split()),
                suites=tuple(fields["suites"].split()),
                components=tuple(fields.get("components", "").split()),
                signed_by=fields.get("signed-by", ""),
                trusted=_is_yes(fields.get("trusted", "")),
            )


def choose(sources: Iterable[Source], codename: str) -> Source:
    """Return the archive that the machine itself was installed from."""
    usable = [source for source in sources if "main" in source.components]
    for suites in ((codename,), _DEBIAN_ALIASES):
        for source in usable:
            # Whole names: "bookworm-security" is another archive without other suites.
            if any(suite in suites for suite in source.suites):
                return Source(
                    uris=source.uris,
                    suites=source.suites,
                    components=("main",),
                    signed_by=source.signed_by,
                    trusted=source.trusted,
                )
    message = f"apt's configuration names no archive for {codename} main"
    raise EngineError(message, "add it to /etc/apt/sources.list.d, then run `apt-get update`")


def parse_os_release(text: str) -> dict[str, str]:
    """Read ``/etc/os-release``."""
    pairs = (line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Z_]+=", line))
    return {name: value.strip().strip("\"'") for name, value in pairs}


def _is_yes(value: str) -> bool:
    return value.strip().lower() in {"yes", "true", "1", "on", "enable", "with"}


def _is_no(value: str) -> bool:
    return value.strip().lower() in {"no", "false", "0", "off", "disable", "without"}
