"""What people check of a program before they release it.

Each check is an assertion of its own: it raises AssertionError with a message that names the
program, its platform, and what offends; a file that can't be read is an `ArtifactError`.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from pytest_dockerbin.settings import read_size

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_dockerbin.inspection.info import BinaryInfo, SymbolVersion
    from pytest_dockerbin.platforms import Platform

_SHOWN = 5  # symbols and places of each kind


class Checks:
    """The ``assert_*`` methods of a `Binary`."""

    __slots__ = ()

    if TYPE_CHECKING:  # of the class that these are mixed into
        path: Path
        platform: Platform

        @property
        def info(self) -> BinaryInfo: ...  # noqa: D102

    def assert_static(self) -> None:
        """Assert that the program needs no loader and no libraries, as ``FROM scratch`` demands.

        Programs for Windows and macOS never are: see `assert_needs_only`.
        """
        __tracebackhide__ = True
        info = self.info
        if info.linkage != "dynamic":
            return
        found = [f"interpreter: {info.interpreter}"] if info.interpreter else []
        raise self._failed("is not static", [*found, *(f"needs: {name}" for name in info.needed)])

    def assert_needs_only(self, libraries: Iterable[str]) -> None:
        """Assert that the program names no other library than some.

        Args:
            libraries: names as ``readelf -d`` shows them; ``ld-linux-*`` matches as a file name
                does.
        """
        __tracebackhide__ = True
        allowed = _several(libraries, "libraries")
        others = [
            f"needs: {name}"
            for name in self.info.needed
            if not any(fnmatchcase(name, pattern) for pattern in allowed)
        ]
        if others:
            expected = ", ".join(sorted(allowed)) or "none"
            raise self._failed(f"needs other libraries than {expected}", others)

    def assert_max_glibc(self, version: str) -> None:
        """Assert that the program starts where glibc is as old as ``version``, such as ``2.28``.

        A program that needs no glibc, static or of another C library, passes.
        """
        __tracebackhide__ = True
        self.assert_max_symbol_versions(GLIBC=version)

    def assert_max_symbol_versions(self, **newest: str) -> None:
        """Assert that the program asks for no newer symbols than some versions.

        Args:
            newest: version by family, such as ``GLIBCXX="3.4.25", CXXABI="1.3.11"``. A version of
                the family that is no number, such as ``GLIBC_PRIVATE``, is not allowed.
        """
        __tracebackhide__ = True
        from pytest_dockerbin.inspection.info import number_of  # noqa: PLC0415 (only once asked for)

        def offends(found: SymbolVersion) -> bool:
            limit = newest.get(found.family)
            if limit is None or found.weak:
                return False
            return found.version is None or number_of(found.version) > number_of(limit)

        for limit in newest.values():
            if not re.fullmatch(r"\d+(\.\d+)*", limit):
                raise ValueError(f"{limit!r} is no version such as 2.28")
        offending = sorted(
            (found for found in self.info.versions if offends(found)),
            key=lambda found: number_of(found.version or "0"),
            reverse=True,
        )
        if offending:
            limits = " and ".join(f"{name}_{version}" for name, version in newest.items())
            raise self._failed(
                f"asks for newer symbols than {limits}",
                [
                    f"{found.name} of {found.library}: {_listed(found.symbols)}"
                    for found in offending
                ],
            )

    def assert_max_size(self, limit: int | str) -> None:
        """Assert that the file is no larger than ``limit``: bytes, or a text such as ``5 MiB``."""
        __tracebackhide__ = True
        most = limit if isinstance(limit, int) else read_size(limit, "assert_max_size")
        size = self.path.stat().st_size
        if size > most:
            told = f" ({limit})" if isinstance(limit, str) else ""
            raise self._failed(f"is larger than {most:,} bytes{told}", [f"size: {size:,} bytes"])

    def assert_hardened(
        self,
        *,
        pie: bool = True,
        relro: Literal["full", "partial", False] = "full",
        nx: bool = True,
        canary: bool = True,
    ) -> None:
        """Assert that the program was built with the usual protections of its format.

        What a format does not have, and what can't be told, passes.

        Args:
            pie: it can be loaded at any address. Go needs ``-buildmode=pie`` for it.
            relro: its relocations are read-only once it runs; ``"partial"`` allows lazy binding.
            nx: its stack is not executable.
            canary: it has code that checks the stack (``-fstack-protector-strong``). False for
                Go and Rust, whose compilers do not use it, and for programs that put no array on
                the stack.
        """
        __tracebackhide__ = True
        info = self.info
        missing = []
        if pie and not info.pie:
            missing.append("not position-independent: build with -fPIE -pie (Go: -buildmode=pie)")
        if relro and info.relro is not None and info.relro not in (relro, "full"):
            missing.append(f"{_RELRO[info.relro]}: link with -Wl,-z,relro,-z,now")
        if nx and not info.nx:
            missing.append("executable stack: link with -Wl,-z,noexecstack")
        if canary and info.canary is False:
            missing.append("no stack protector: compile with -fstack-protector-strong")
        if missing:
            raise self._failed("is not hardened", missing)

    def assert_stripped(self) -> None:
        """Assert that the file has no table of its own symbols and no debug information."""
        __tracebackhide__ = True
        if not self.info.stripped:
            raise self._failed("is not stripped", ["it has symbols or debug information"])

    def assert_build_id(self) -> None:
        """Assert that the file can be matched with its debug information."""
        __tracebackhide__ = True
        if self.info.build_id is None:
            raise self._failed("has no build id", ["link with -Wl,--build-id"])

    def assert_no_rpath(self) -> None:
        """Assert that the program names no folders of its own where libraries are looked for."""
        __tracebackhide__ = True
        info = self.info
        folders = [*(f"RPATH: {one}" for one in info.rpath)]
        folders += [f"RUNPATH: {one}" for one in info.runpath]
        if folders:
            raise self._failed("looks for libraries in folders of its own", folders)

    def assert_contains_no(self, *texts: str | bytes) -> None:
        """Assert that none of some texts is in the file: paths of the build, host names, secrets.

        Args:
            texts: compared byte by byte; text as UTF-8.
        """
        __tracebackhide__ = True
        data = self.path.read_bytes()
        found = [line for text in texts for line in _places(data, _bytes(text))]
        if found:
            raise self._failed("contains what it must not", found)

    def _failed(self, what: str, lines: Iterable[str]) -> AssertionError:
        listed = "".join(f"\n  {line}" for line in lines)
        return AssertionError(
            f"{self.path.name} for {self.platform} {what}{listed}\n  in {self.path}"
        )


_RELRO = {"none": "no RELRO", "partial": "partial RELRO, with lazy binding"}


def _several(names: Iterable[str], what: str) -> set[str]:
    if isinstance(names, str):
        raise TypeError(f"{what}: expected several names, such as {{{names!r}}}")
    return set(names)


def _listed(names: tuple[str, ...]) -> str:
    if not names:
        return "no symbol"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _bytes(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    if not data:
        raise ValueError("every file contains an empty text")
    return data


def _places(data: bytes, text: bytes) -> Iterable[str]:
    """Yield where a text is in the file, with the printable signs around it."""
    count, at = data.count(text), -1
    for _ in range(min(count, _SHOWN)):
        at = data.index(text, at + 1)
        start = re.search(rb"[ -~]{0,40}$", data[max(at - 40, 0) : at])
        end = re.match(rb"[ -~]{0,80}", data[at + len(text) :])
        around = (start[0] if start else b"") + text + (end[0] if end else b"")
        yield f"at {at:#x}: {around.decode(errors='replace')!r}"
    if count > _SHOWN:
        yield f"and {count - _SHOWN} more places"
