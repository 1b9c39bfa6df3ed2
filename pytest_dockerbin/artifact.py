"""What a build exported for one platform: the tree, its files and its programs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from pytest_dockerbin.attestations import PROVENANCE, SBOM
from pytest_dockerbin.checks import Checks
from pytest_dockerbin.errors import ArtifactError, UnavailableError
from pytest_dockerbin.executables import read_executable
from pytest_dockerbin.invocation import (
    check_input,
    check_options,
    check_streams,
    check_timeout,
    read_command,
    read_words,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import IO

    from pytest_dockerbin.attestations import Statement
    from pytest_dockerbin.inspection.info import BinaryInfo
    from pytest_dockerbin.manifest import BuildRecord, FileRecord, Manifest
    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.results import Runner, RunningProgram, RunResult

_MOST_DIFFERENCES = 10  # files that a message names

_MOST_OUTPUT = 8 * 2**20  # bytes of a stream


class FindRunner(Protocol):
    """Finds what runs a program; asked when it is to be run, not before."""

    def __call__(self, program: Path, model: str | None = None) -> Runner:
        """Return it for the exported file ``program``, on a CPU model where one is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact(os.PathLike[str]):
    """What one build exported for one platform; as a path, its folder or archive.

    Attributes:
        path: the folder of the tree; the archive, where the ``exporter`` setting asks for one.
        platform: what it was built for.
        files: every file and link, sorted by name.
        build: how it was built.
    """

    tree: Path = field(repr=False)
    manifest: Manifest
    runner: FindRunner = field(repr=False, compare=False)
    default_binary: str | None = None
    again: Callable[[], Artifact] | None = field(default=None, repr=False, compare=False)
    loader: Callable[[Path, str], str] | None = field(default=None, repr=False, compare=False)

    @property
    def path(self) -> Path:
        """The folder of the tree; the archive, where the ``exporter`` setting asks for one."""
        return self.tree / self.manifest.archive if self.manifest.archive else self.tree

    @property
    def platform(self) -> Platform:
        """The platform that it was built for."""
        return self.manifest.platform

    @property
    def files(self) -> tuple[FileRecord, ...]:
        """Every exported file and link, sorted by name."""
        return self.manifest.files

    @property
    def build(self) -> BuildRecord:
        """How it was built."""
        return self.manifest.build

    @property
    def provenance(self) -> Statement | None:
        """How it was built, as BuildKit attests it: an in-toto statement; None unless asked for.

        ``["predicate"]`` is `SLSA provenance <https://slsa.dev/spec/v0.2/provenance>`_.
        """
        return self._attested(PROVENANCE)

    @property
    def sbom(self) -> Statement | None:
        """Its software bill of materials, an in-toto statement; None unless asked for.

        ``["predicate"]`` is an `SPDX <https://spdx.github.io/spdx-spec/>`_ document.
        """
        return self._attested(SBOM)

    @property
    def digest(self) -> str:
        """``sha256:`` and a digest of names, modes, links and contents; of equal trees equal."""
        total = hashlib.sha256()
        for file in self.files:
            total.update(f"{file.mode:o} {file.sha256} {file.link is None} {file.name}\0".encode())
        return f"sha256:{total.hexdigest()}"

    @property
    def binaries(self) -> Mapping[str, Binary]:
        """The programs of the tree by name, without shared libraries, scripts and links."""
        found = {file.name: self._binary(file) for file in self.files if file.program}
        return MappingProxyType(found)

    def binary(self, name: str | None = None) -> Binary:
        """Return one program of the tree.

        Args:
            name: its path inside the tree, a script or link too; without one, the program that the
                ``binary`` setting names, or the only one there is.

        Raises:
            ArtifactError: there is none, or several; what was exported is listed.
        """
        __tracebackhide__ = True
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name: expected a path inside the tree as text, not {name!r}")
        wanted = name or self.default_binary
        if wanted is None:
            programs = self.binaries
            if len(programs) == 1:
                return next(iter(programs.values()))
            unmarked = () if programs else tuple(filter(self._lacks_mode, self.files))
            file = unmarked[0] if len(unmarked) == 1 else None
        else:
            file = self._behind(wanted.lstrip("/"))
            if file and file.mode & 0o111:
                return self._binary(file, wanted.lstrip("/"))
        if file and self._lacks_mode(file):
            raise ArtifactError.not_executable(
                str(self.platform), file.name, file.mode, self._listing()
            )
        if wanted is None and not self.binaries:
            raise ArtifactError.no_program(str(self.platform), self._listing())
        raise ArtifactError.no_binary(str(self.platform), wanted, self._listing())

    def assert_reproducible(self) -> None:
        """Build it once more, every step without a cache, and expect the same bytes.

        Names, modes, link targets and contents are compared; the times of files are not. With
        ``SOURCE_DATE_EPOCH`` set, in the environment or as a build argument, BuildKit makes all
        times equal. It is built once in a session, however often this is called.

        Raises:
            AssertionError: files differ; it says which, and where in them.
            DockerbinError: the second build failed.
        """
        __tracebackhide__ = True
        from pytest_dockerbin.reproducibility import Export, differences  # noqa: PLC0415 (for this)

        if self.again is None:
            raise ValueError("an artifact that no builder returned can't be built again")
        second = self.again()
        found = differences(Export(self.tree, self.files), Export(second.tree, second.files))
        if found:
            shown = "\n".join(f"  {line}" for line in found[:_MOST_DIFFERENCES])
            more = len(found) - _MOST_DIFFERENCES
            rest = f"\n  and {more} more" if more > 0 else ""
            raise AssertionError(
                f"the export for {self.platform} is not reproducible: built again, without a "
                f"cache, it differs\n{shown}{rest}"
            )

    def load(self) -> str:
        """Load the image of an ``oci`` or ``docker`` export into the engine and return its name.

        The image is removed again when the session ends.

        Raises:
            ValueError: it is a tree of files.
            ArtifactError: the engine finds no image in the archive, such as that of ``tar``.
            UnavailableError: there is no engine.
        """
        __tracebackhide__ = True
        if self.manifest.archive is None or self.loader is None:
            raise ValueError(
                "there is no image to load: its exporter is neither 'oci' nor 'docker'"
            )
        return self.loader(self.path, self.files[0].sha256)

    def export(self, dest: str | os.PathLike[str]) -> Path:
        """Copy the tree or archive to ``dest``, which must not exist yet, and return it.

        Raises:
            FileExistsError: ``dest`` exists.
        """
        if self.manifest.archive is None:
            return Path(shutil.copytree(self.tree, dest, symlinks=True))
        with self.path.open("rb") as source, open(dest, "xb") as target:  # noqa: PTH123 (any path)
            shutil.copyfileobj(source, target)
        return Path(dest)

    def __truediv__(self, name: str | os.PathLike[str]) -> Path:
        """Return the path of a file of the tree, which need not be there; ``/`` is the tree.

        Raises:
            ValueError: it is outside of the tree.
        """
        __tracebackhide__ = True
        path = self.tree / os.fspath(name).lstrip("/")
        if not path.resolve().is_relative_to(self.tree.resolve()):
            raise ValueError(f"{os.fspath(name)!r} is outside of the exported tree")
        return path

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def _attested(self, predicate: str) -> Statement | None:
        found = self.manifest.attestations
        return next((it for it in found if it["predicateType"].startswith(predicate)), None)

    def _behind(self, name: str) -> FileRecord | None:
        """Return the file that a name leads to, through links of the tree, if there is one."""
        root = self.tree.resolve()
        end = (root / name).resolve()
        return next((file for file in self.files if root / file.name == end), None)

    def _lacks_mode(self, file: FileRecord) -> bool:
        """Tell whether a file is a program of a known format, and only the x bit is missing."""
        if file.link is not None or file.mode & 0o111:
            return False
        with (self.tree / file.name).open("rb") as opened:
            found = read_executable(opened)
        return found is not None and found.program

    def _binary(self, file: FileRecord, name: str | None = None) -> Binary:
        return Binary(
            path=self.tree / (name or file.name),  # a link's own name: busybox goes by it
            platform=self.platform,
            size=file.size,
            sha256=file.sha256,
            runner=self.runner,
        )

    def _listing(self) -> Iterable[str]:
        for file in self.files:
            if file.link is not None:
                yield f"{file.name} -> {file.link}"
            else:
                kind = ", program" if file.program else ""
                yield f"{file.name} ({file.size} bytes, mode {file.mode:o}{kind})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary(Checks, os.PathLike[str]):
    """One exported program; as a path, a file that runs it.

    That is the exported file where the kernel alone can execute it, else its `launcher`.

    Attributes:
        path: the exported file.
        platform: what it was built for.
        size: bytes.
        sha256: hexadecimal digest of its content.
    """

    path: Path
    platform: Platform
    size: int
    sha256: str
    runner: FindRunner = field(repr=False, compare=False)

    @property
    def info(self) -> BinaryInfo:
        """What its file says: format, machine, libraries, symbol versions, protections.

        Raises:
            ArtifactError: it is no program of a known format, cut short or malformed.
        """
        __tracebackhide__ = True
        from pytest_dockerbin.inspection import read_info  # noqa: PLC0415 (only once asked for)

        return read_info(self.path, self.platform)

    def run(  # noqa: PLR0913 (subprocess's keywords, and few of ours)
        self,
        *args: str | os.PathLike[str],
        input: str | bytes | None = None,  # noqa: A002 (subprocess's name for it)
        env: Mapping[str, str | os.PathLike[str]] | None = None,
        pass_env: Iterable[str] = (),
        cwd: str | os.PathLike[str] | None = None,
        timeout: float | None = None,
        check: bool = False,
        text: bool = True,
        max_output: int = _MOST_OUTPUT,
        cpu: str | None = None,
        wrapper: Iterable[str | os.PathLike[str]] = (),
    ) -> RunResult:
        """Run the program to its end and return what it gave; a failure is no exception.

        When it has ended, all that it began is ended too, wherever that went.

        Args:
            args: its arguments.
            input: what it reads on standard input; nothing (``/dev/null``) by default.
            env: variables beside PATH, LANG, TERM and TZ, and HOME and TMPDIR, which are folders of
                the session. Nothing else is handed down: a test that needs more says so.
            pass_env: names of variables to hand down from this process.
            cwd: working folder; an empty one of its own by default.
            timeout: seconds; the session's default when None. Under emulation both are
                multiplied by ``dockerbin_emulation_factor``.
            check: raise `RunError` unless the exit code is 0.
            max_output: bytes of each stream that are kept, of its beginning and its end, with a
                line between them that says how many are not; a program that writes more has the
                kind ``output-limit``.
            text: decode both streams as UTF-8; undecodable bytes are replaced.
            cpu: run it on this CPU model of QEMU's, such as ``cortex-a53``; a native program too.
            wrapper: words before the whole command, such as ``("strace", "-f")``.

        Raises:
            UnavailableError: this host can't run the platform, or not on that CPU model.
            SettingsError: QEMU has no such CPU model.
            RunError: only with ``check``.
            TypeError, ValueError: an argument is not what it should be.
            FileNotFoundError: there is no such working folder, or no such wrapper.
            NotADirectoryError: the working folder is none.
            OSError: the file or the wrapper may not be executed.
        """
        __tracebackhide__ = True
        command = read_command(
            *(self.path, self.platform, args), env=env, pass_env=pass_env, cwd=cwd, wrapper=wrapper
        )
        check_options(max_output=max_output, cpu=cpu)
        check_input(input)
        if timeout is not None:
            check_timeout(timeout)
        result = self.runner(self.path, cpu).run(
            command, input=input, timeout=timeout, text=text, max_output=max_output
        )
        if check:
            result.check()
        return result

    def popen(  # noqa: PLR0913 (subprocess's keywords, and few of ours)
        self,
        *args: str | os.PathLike[str],
        env: Mapping[str, str | os.PathLike[str]] | None = None,
        pass_env: Iterable[str] = (),
        cwd: str | os.PathLike[str] | None = None,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = subprocess.PIPE,
        stderr: int | IO[bytes] | None = subprocess.PIPE,
        text: bool = True,
        max_output: int = _MOST_OUTPUT,
        cpu: str | None = None,
        wrapper: Iterable[str | os.PathLike[str]] = (),
    ) -> RunningProgram:
        """Start the program and return at once: for servers, and to speak with it.

        It is ended with all that it began at the end of the test, or of the fixture that started
        it, and when pytest ends, whatever ends that.

        Args:
            args: its arguments.
            env: as for `run`, and so ``pass_env``, ``cwd``, ``text`` and ``wrapper``.
            pass_env: see there.
            cwd: see there.
            stdin: as `subprocess.Popen` takes it: ``PIPE`` to write to it.
            stdout: likewise; it is read for you by default, so the program never waits for a
                reader.
            stderr: likewise.
            text: see there.
            max_output: bytes of each stream that are kept, of its end.
            cpu: see there.
            wrapper: see there.

        Raises:
            UnavailableError: this host can't run the platform.
            RunError: it can't be started: no loader, wrong platform.
            TypeError, ValueError, OSError: as for `run`.
        """
        __tracebackhide__ = True
        command = read_command(
            *(self.path, self.platform, args), env=env, pass_env=pass_env, cwd=cwd, wrapper=wrapper
        )
        check_options(max_output=max_output, cpu=cpu)
        check_streams(stdin=stdin, stdout=stdout, stderr=stderr)
        return self.runner(self.path, cpu).popen(
            command, stdin=stdin, stdout=stdout, stderr=stderr, text=text, max_output=max_output
        )

    def command(self, *args: str | os.PathLike[str]) -> list[str]:
        """Return the command that runs the program with ``args``, for `subprocess`."""
        __tracebackhide__ = True
        return [os.fspath(self), *read_words(args)]

    @property
    def launcher(self) -> Path:
        """One executable file that runs the program wherever it can be run.

        It can be called from anywhere, by its path or, with its folder on PATH, by the program's
        name. It becomes the program: signals and exit status are the program's. The environment is
        the caller's.

        Raises:
            UnavailableError: this host can't run the platform.
        """
        __tracebackhide__ = True
        return self.runner(self.path).launcher(self.path)

    def __fspath__(self) -> str:
        try:
            return str(self.launcher)
        except UnavailableError:  # to look at it needs no emulator
            return str(self.path)

    def __str__(self) -> str:
        return os.fspath(self)
