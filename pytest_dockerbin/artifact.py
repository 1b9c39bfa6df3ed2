"""What a build exported for one platform: the tree, its files and its programs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, Self

from pytest_dockerbin.attestations import PROVENANCE, SBOM
from pytest_dockerbin.checks import Checks
from pytest_dockerbin.errors import ArtifactError, UnavailableError
from pytest_dockerbin.executables import read_executable
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.results import Command

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import IO

    from pytest_dockerbin.attestations import Statement
    from pytest_dockerbin.inspection.info import BinaryInfo
    from pytest_dockerbin.results import Runner, RunningProgram, RunResult

ARCHIVE = "export.tar"
"""The name of the archive of an export that is not a tree of files."""

_MOST_OUTPUT = 8 * 2**20  # bytes of a stream


class FindRunner(Protocol):
    """Finds what runs a program; asked when it is to be run, not before."""

    def __call__(self, program: Path, model: str | None = None) -> Runner:
        """Return it for the exported file ``program``, on a CPU model where one is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One exported file or symbolic link.

    Attributes:
        name: path inside the export, with ``/`` and without a leading one.
        size: bytes; 0 for a link.
        sha256: hexadecimal digest of the content; of the target's name for a link.
        mode: permission bits: 0o755 or 0o644; 0o777 for a link.
        link: the target of a symbolic link, else None.
        program: whether it is an executable of the platform, with the x bit.
    """

    name: str
    size: int
    sha256: str
    mode: int
    link: str | None = None
    program: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRecord:
    """How an artifact came to be.

    Attributes:
        seconds: from the start of the build to its published result.
        steps: number of steps that BuildKit named.
        cached_steps: how many of them it took from its cache.
        log_path: the whole build log, or None.
        ref: buildx's build reference, for ``docker buildx history logs``; None where it gave none.
        source: where it came from: ``built``; ``reused``, from an earlier session; ``rebuilt``,
            since what was stored of it was damaged; ``prebuilt``, elsewhere.
        builder: the name of the buildx builder; None for buildx's current one.
    """

    seconds: float
    steps: int
    cached_steps: int
    log_path: Path | None
    ref: str | None
    source: str = "built"
    builder: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The facts of an export, as they are kept beside its tree.

    Attributes:
        platform: what it was built for.
        files: every file and link, sorted by name.
        build: how it was built.
        archive: the name of the archive that is all of it; None for a tree of files.
        attestations: in-toto statements of it.
    """

    platform: Platform
    files: tuple[FileRecord, ...]
    build: BuildRecord
    archive: str | None = None
    attestations: tuple[Statement, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return JSON values for `from_json`."""
        build = asdict(self.build)
        build["log_path"] = str(self.build.log_path) if self.build.log_path else None
        return {
            "platform": str(self.platform),
            "files": [asdict(file) for file in self.files],
            "build": build,
            "archive": self.archive,
            "attestations": list(self.attestations),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError, SettingsError: it is something else.
        """
        build = dict(data["build"])
        build["log_path"] = Path(build["log_path"]) if build["log_path"] else None
        return cls(
            platform=Platform.parse(data["platform"]),
            files=tuple(FileRecord(**file) for file in data["files"]),
            build=BuildRecord(**build),
            archive=data["archive"],
            attestations=tuple(data["attestations"]),
        )


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
        raise ArtifactError.no_binary(str(self.platform), wanted, self._listing())

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
        env: Mapping[str, str] | None = None,
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
            env: variables beside PATH, LANG, TERM and TZ. Nothing else is handed down: a test that
                needs more says so.
            pass_env: names of variables to hand down from this process.
            cwd: working folder; that of the test by default.
            timeout: seconds; the session's default when None. Under emulation both are
                multiplied by ``dockerbin_emulation_factor``.
            check: raise `RunError` unless the exit code is 0.
            max_output: bytes of each stream that are kept, of its beginning and its end; a program
                that writes more has the kind ``output-limit``.
            text: decode both streams as UTF-8; undecodable bytes are replaced.
            cpu: run it on this CPU model of QEMU's, such as ``cortex-a53``; a native program too.
            wrapper: words before the whole command, such as ``("strace", "-f")``.

        Raises:
            UnavailableError: this host can't run the platform, or not on that CPU model.
            SettingsError: QEMU has no such CPU model.
            RunError: only with ``check``.
            OSError: there is no such working folder or wrapper, or the file may not be executed.
        """
        result = self.runner(self.path, cpu).run(
            self._invocation(args, _environment(env or {}, pass_env), cwd, wrapper),
            input=input,
            timeout=timeout,
            text=text,
            max_output=max_output,
        )
        if check:
            result.check()
        return result

    def popen(  # noqa: PLR0913 (subprocess's keywords, and few of ours)
        self,
        *args: str | os.PathLike[str],
        env: Mapping[str, str] | None = None,
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
            OSError: there is no such working folder or wrapper, or the file may not be executed.
        """
        return self.runner(self.path, cpu).popen(
            self._invocation(args, _environment(env or {}, pass_env), cwd, wrapper),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=text,
            max_output=max_output,
        )

    def _invocation(
        self,
        args: Iterable[str | os.PathLike[str]],
        env: Mapping[str, str],
        cwd: str | os.PathLike[str] | None,
        wrapper: Iterable[str | os.PathLike[str]],
    ) -> Command:
        return Command(
            program=self.path,
            args=tuple(os.fspath(arg) for arg in args),
            env=env,
            cwd=Path(cwd) if cwd is not None else None,
            wrapper=tuple(os.fspath(word) for word in wrapper),
        )

    def command(self, *args: str | os.PathLike[str]) -> list[str]:
        """Return the command that runs the program with ``args``, for `subprocess`."""
        return [os.fspath(self), *(os.fspath(arg) for arg in args)]

    @property
    def launcher(self) -> Path:
        """One executable file that runs the program wherever it can be run.

        It can be called from anywhere, by its path or, with its folder on PATH, by the program's
        name. It becomes the program: signals and exit status are the program's. The environment is
        the caller's.

        Raises:
            UnavailableError: this host can't run the platform.
        """
        return self.runner(self.path).launcher(self.path)

    def __fspath__(self) -> str:
        try:
            return str(self.launcher)
        except UnavailableError:  # to look at it needs no emulator
            return str(self.path)

    def __str__(self) -> str:
        return os.fspath(self)


def _environment(env: Mapping[str, str], pass_env: Iterable[str]) -> dict[str, str]:
    """Return a closed environment: QEMU_* and LD_* of the caller would change what is tested."""
    basic = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "TZ": "UTC",
    }
    passed = {name: os.environ[name] for name in pass_env if name in os.environ}
    return {**basic, **passed, **env}
