"""What people check of a program before they release it.

Each check is an assertion of its own: it raises AssertionError with a message that names the
program, its platform, and what offends; a file that can't be read is an `ArtifactError`. An
argument by which nothing would be checked, or something else, is a ValueError or TypeError.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from fnmatch import fnmatchcase
from reprlib import repr as short_repr
from typing import TYPE_CHECKING, Literal

from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.settings import read_size

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_dockerbin.executables import Format
    from pytest_dockerbin.inspection.info import BinaryInfo, SymbolVersion
    from pytest_dockerbin.platforms import Platform

_SHOWN = 5  # symbols and places of each kind

# families of symbol versions that a program may have nothing of: those of the C and C++ runtimes,
# as auditwheel's policies have them, and of what is linked most often beside them
_FAMILIES = {"CXXABI", "GCC", "GLIBC", "GLIBCXX", "LIBATOMIC", "OPENSSL", "ZLIB"}

# what to do about it, by the format of the file
_MOVABLE: dict[Format, str] = {
    "ELF": "build with -fPIE -pie (Go: -buildmode=pie)",
    "PE": "link with /DYNAMICBASE (MinGW: -Wl,--dynamicbase)",
    "Mach-O": "link without -no_pie",
}
_NO_EXECUTABLE_STACK: dict[Format, str] = {
    "ELF": "link with -Wl,-z,noexecstack",
    "PE": "link with /NXCOMPAT (MinGW: -Wl,--nxcompat)",
    "Mach-O": "link without -allow_stack_execute",
}
_BUILD_ID: dict[Format, str] = {
    "ELF": "link with -Wl,--build-id",
    "PE": "link with /DEBUG (MinGW: -Wl,--build-id)",
    "Mach-O": "link without -no_uuid",
}


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
                does. The case of a Windows program's libraries does not matter.
        """
        __tracebackhide__ = True
        allowed = _several(libraries, "libraries")
        info = self.info

        def is_allowed(name: str) -> bool:
            if info.format == "PE":
                return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in allowed)
            return any(fnmatchcase(name, pattern) for pattern in allowed)

        others = [f"needs: {name}" for name in info.needed if not is_allowed(name)]
        if others:
            expected = ", ".join(sorted(allowed)) or "none"
            raise self._failed(f"needs other libraries than {expected}", others)

    def assert_max_glibc(self, version: str) -> None:
        """Assert that the program starts where glibc is as old as ``version``, such as ``2.28``.

        A program that needs no glibc, static or of another C library, passes.
        """
        __tracebackhide__ = True
        _expect_version("version", version)
        self.assert_max_symbol_versions(GLIBC=version)

    def assert_max_symbol_versions(self, **newest: str) -> None:
        """Assert that the program asks for no newer symbols than some versions.

        Args:
            newest: version by family, such as ``GLIBCXX="3.4.25", CXXABI="1.3.11"``. A version of
                the family that is no number, such as ``GLIBC_PRIVATE``, is not allowed.

        Raises:
            ValueError: a family that the program does not use, and that is not one of the C and
                C++ runtimes, ``OPENSSL`` or ``ZLIB``: it is misspelled.
        """
        __tracebackhide__ = True
        from pytest_dockerbin.inspection.info import number_of  # noqa: PLC0415 (only once asked for)

        def offends(found: SymbolVersion) -> bool:
            limit = newest.get(found.family)
            if limit is None or found.weak:
                return False
            return found.version is None or number_of(found.version) > number_of(limit)

        if not newest:
            raise TypeError('expected a version by family, such as GLIBCXX="3.4.25"')
        for family, limit in newest.items():
            _expect_version(family, limit)
        versions = self.info.versions
        for family in newest:
            _expect_known(family, _FAMILIES | {found.family for found in versions})
        offending = sorted(
            (found for found in versions if offends(found)),
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
        most = _bytes_of_size(limit)
        size = self.path.stat().st_size
        if size > most:
            told = f" ({limit})" if isinstance(limit, str) and not limit.strip().isdigit() else ""
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

        Raises:
            ValueError: ``relro`` is none of its values.
        """
        __tracebackhide__ = True
        _expect_relro(relro)
        info = self.info
        missing = []
        if pie and not info.pie:
            missing.append(f"not position-independent: {_MOVABLE[info.format]}")
        if relro and info.relro is not None and info.relro not in (relro, "full"):
            missing.append(f"{_RELRO[info.relro]}: link with -Wl,-z,relro,-z,now")
        if nx and not info.nx:
            missing.append(f"executable stack: {_NO_EXECUTABLE_STACK[info.format]}")
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
        info = self.info
        if info.build_id is None:
            raise self._failed("has no build id", [_BUILD_ID[info.format]])

    def assert_no_rpath(self) -> None:
        """Assert that the program names no folders of its own where libraries are looked for."""
        __tracebackhide__ = True
        info = self.info
        rpath = "LC_RPATH" if info.format == "Mach-O" else "RPATH"
        folders = [f"{rpath}: {one}" for one in info.rpath]
        folders += [f"RUNPATH: {one}" for one in info.runpath]
        if folders:
            raise self._failed("looks for libraries in folders of its own", folders)

    def assert_contains_no(self, *texts: str | bytes) -> None:
        """Assert that none of some texts is in the file: paths of the build, host names, secrets.

        Args:
            texts: compared byte by byte; text as UTF-8.
        """
        __tracebackhide__ = True
        wanted = _encoded(texts)
        data = self.path.read_bytes()
        found = [line for text in wanted for line in _places(data, text)]
        if found:
            raise self._failed("contains what it must not", found)

    def _failed(self, what: str, lines: Iterable[str]) -> AssertionError:
        listed = "".join(f"\n  {line}" for line in lines)
        return AssertionError(
            f"{self.path.name} for {self.platform} {what}{listed}\n  in {self.path}"
        )


_RELRO = {"none": "no RELRO", "partial": "partial RELRO, with lazy binding"}


def _unexpected(argument: str, expected: str, got: object) -> TypeError:
    return TypeError(f"{argument}: expected {expected}, not {short_repr(got)}")


def _several(names: Iterable[str], argument: str) -> set[str]:
    __tracebackhide__ = True
    if isinstance(names, str):
        raise _unexpected(argument, f"several names, such as {{{names!r}}}", names)
    try:
        several = set(names)
    except TypeError:
        raise _unexpected(argument, "several names", names) from None
    for name in several:
        if not isinstance(name, str):
            raise _unexpected(argument, "names as text", name)
    return several


def _expect_version(argument: str, version: str) -> None:
    __tracebackhide__ = True
    if not isinstance(version, str):
        raise _unexpected(argument, 'a version as text, such as "2.28"', version)
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)*", version):
        raise ValueError(f"{argument}: {version!r} is no version such as 2.28")


def _expect_known(family: str, known: set[str]) -> None:
    __tracebackhide__ = True
    if family in known:
        return
    spelled = {name.upper(): name for name in known}
    close = get_close_matches(family.upper(), spelled, n=1)
    expected = (
        f"did you mean {spelled[close[0]]}?" if close else f"known: {', '.join(sorted(known))}"
    )
    raise ValueError(f"unknown family of symbol versions {family!r}; {expected}")


def _expect_relro(relro: object) -> None:
    __tracebackhide__ = True
    if relro not in ("full", "partial", False):
        close = get_close_matches(str(relro), ("full", "partial"), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"relro: expected 'full', 'partial' or False, not {short_repr(relro)}{hint}"
        )


def _bytes_of_size(limit: int | str) -> int:
    __tracebackhide__ = True
    if isinstance(limit, bool) or not isinstance(limit, int | str):
        raise _unexpected("limit", 'bytes as a whole number, or a text such as "5 MiB"', limit)
    if isinstance(limit, int):
        if limit < 0:
            raise ValueError(f"limit: expected bytes, 0 or more, not {limit}")
        return limit
    try:
        return read_size(limit, "limit")
    except SettingsError as error:
        raise ValueError(error.summary) from None


def _encoded(texts: tuple[str | bytes, ...]) -> list[bytes]:
    __tracebackhide__ = True
    if not texts:
        raise TypeError("texts: expected at least one text")
    for text in texts:
        if not isinstance(text, str | bytes):
            raise _unexpected("texts", "text or bytes, one by one", text)
        if not text:
            raise ValueError("texts: every file contains an empty text")
    return [text.encode() if isinstance(text, str) else text for text in texts]


def _listed(names: tuple[str, ...]) -> str:
    if not names:
        return "no symbol"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


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
