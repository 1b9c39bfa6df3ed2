"""Finds out what can be built and run here: by doing it, as a test would.

Tables are read too, of builders and of registered emulators, but they only say what to look at.
"""

from __future__ import annotations

import mmap
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pytest_dockerbin.buildx.inventory import take_inventory
from pytest_dockerbin.errors import DockerbinError, EngineError, StoreError
from pytest_dockerbin.folders import delete, size_of
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runners.binfmt import BINFMT_MISC, read_registered
from pytest_dockerbin.runners.mounts import is_noexec
from pytest_dockerbin.runners.tiny import tiny_program
from pytest_dockerbin.session import Builder, new_session_name
from pytest_dockerbin.settings import Settings
from pytest_dockerbin.spec import BuildSpec
from pytest_dockerbin.store import VERSION, SessionStore, has_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_dockerbin.buildx.inventory import Inventory
    from pytest_dockerbin.runner_spec import Runners
    from pytest_dockerbin.runners.binfmt import Registered

_DOCKERFILE = 'FROM scratch\nCOPY probe /\nRUN ["/probe"]\n'
_BUILD_TIMEOUT = 300.0  # seconds
_LEVELS = ("v4", "v3", "v2", "v1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """This machine.

    Attributes:
        platform: the one that is native here.
        cpu_level: ``v1`` to ``v4`` of an amd64 processor; None for others, or where not known.
        page_size: bytes; programs that are made for smaller pages fail.
    """

    platform: Platform
    cpu_level: str | None
    page_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """The cache folder.

    Attributes:
        path: where it is.
        error: why it can't be used, or None.
        noexec: whether its file system executes nothing.
        size: bytes of all that it holds.
    """

    path: Path
    error: StoreError | None
    noexec: bool
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """What can be done for one platform; what was exported can be inspected in any case.

    Attributes:
        platform: which one.
        requested: whether the exit code depends on it.
        build: whether a build for it can run steps of its own.
        build_error: how trying that failed; None, too, when it was not tried.
        run: whether its programs can be run here.
        run_error: why not.
        runner: what runs them: the name of a runner.
        emulated: whether that emulates another processor.
        version: of the emulator, such as ``QEMU 7.2.22``.
    """

    platform: Platform
    requested: bool
    build: bool = False
    build_error: DockerbinError | None = None
    run: bool = False
    run_error: DockerbinError | None = None
    runner: str | None = None
    emulated: bool | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """All that was found."""

    host: Host
    docker: Inventory
    binfmt: Registered
    cache: Cache
    platforms: tuple[Ability, ...]

    @property
    def ok(self) -> bool:
        """Whether every requested platform can be built and run here."""
        requested = [ability for ability in self.platforms if ability.requested]
        return bool(requested) and all(ability.build and ability.run for ability in requested)


def read_words(words: Iterable[str]) -> tuple[Platform | None, ...]:
    """Read the platforms that a user names, as platform lists have them; None is ``auto``.

    Raises:
        SettingsError: one is no platform; the closest one is named.
    """
    found: list[Platform | None] = []
    for word in (part.strip() for given in words for part in given.split(",")):
        match word:
            case "native":
                found.append(Platform.host())
            case "auto":
                found.append(None)
            case _:
                found.append(Platform.parse(word))
    return tuple(found)


def examine(
    asked: Sequence[Platform | None],
    *,
    cache_root: Path,
    builder: str | None = None,
    runners: Runners = (),
    binfmt_folder: Path = BINFMT_MISC,
) -> Examination:
    """Look at this machine.

    Builds and runs tiny programs, in a session of its own of which nothing is left.

    Args:
        asked: the platforms that the user wants, None for ``auto``. Where there are none the
            native one is wanted, and all that are known here are looked at.
        cache_root: the cache folder.
        builder: a builder's name; the current one when None.
        runners: what runs the programs of a platform, as in `Settings`.
        binfmt_folder: where ``binfmt_misc`` is mounted.
    """
    docker = take_inventory(builder)
    size = _size(cache_root)
    settings = Settings(
        cache_dir=cache_root,
        builders=((None, builder),) if builder else (),
        runners=runners,
        build_timeout=_BUILD_TIMEOUT,
        silence_timeout=_BUILD_TIMEOUT,
    )
    with _session(settings, cache_root) as (session, scratch, error):
        binfmt = read_registered(session.store.path, binfmt_folder)
        requested = _requested(asked, session)
        known = () if asked and requested else (*docker.builder.platforms, *_with_handlers(binfmt))
        platforms = tuple(
            _ability(platform, platform in requested, docker.builder.platforms, session, scratch)
            for platform in dict.fromkeys((*requested, *known))
        )
        noexec = error is None and is_noexec(cache_root)
    return Examination(
        host=_host(),
        docker=docker,
        binfmt=binfmt,
        cache=Cache(path=cache_root, error=error, noexec=noexec, size=size),
        platforms=platforms,
    )


@contextmanager
def _session(settings: Settings, root: Path) -> Iterator[tuple[Builder, Path, StoreError | None]]:
    """Open a session in the cache folder, as tests do, and leave nothing of it.

    Yields:
        The session, a temporary folder, and why the cache folder can't be used: then the session
        is in the temporary folder.
    """
    with TemporaryDirectory(prefix="pytest-dockerbin-") as temporary:
        scratch = Path(temporary)
        error = _store_error(root)
        if error:
            settings = replace(settings, cache_dir=scratch / "cache")
        session = Builder(settings)
        try:
            yield session, scratch, error
        finally:
            session.close()
            delete(session.store.path)


def _store_error(root: Path) -> StoreError | None:
    """Return why no session can begin in the cache folder, or None."""
    name = new_session_name()
    try:
        SessionStore(root, name).close()
    except StoreError as error:
        return error
    delete(root / VERSION / "sessions" / name)
    return None


def _size(root: Path) -> int:
    try:
        return size_of(root) if has_store(root) else 0
    except (StoreError, OSError):  # somebody else's, or not to be read: why is told elsewhere
        return 0


def _host() -> Host:
    platform = Platform.host()
    level = None
    if platform.architecture == "amd64" and platform.fits_host:
        level = next(v for v in _LEVELS if Platform("linux", "amd64", v).fits_host)
    return Host(platform=platform, cpu_level=level, page_size=mmap.PAGESIZE)


def _requested(asked: Sequence[Platform | None], session: Builder) -> tuple[Platform, ...]:
    requested: list[Platform] = []
    for platform in asked or (Platform.host(),):
        if platform is not None:
            requested.append(platform)
            continue
        with suppress(EngineError):  # it is told elsewhere; nothing can be built
            requested += session.auto_platforms()
    return tuple(dict.fromkeys(requested))


def _with_handlers(binfmt: Registered) -> Iterator[Platform]:
    for handler in binfmt.handlers:
        if handler.architecture:
            yield Platform.parse(f"linux/{handler.architecture}")


def _ability(
    platform: Platform,
    requested: bool,
    listed: tuple[Platform, ...],
    session: Builder,
    scratch: Path,
) -> Ability:
    """Try what can be done for a platform.

    What a builder lists is believed for platforms that nobody asked for. What it does not list is
    tried: it may do more (measured: Engine 28.5 ran steps of linux/386 without listing it).
    """
    build, build_error = platform in listed, None
    program = tiny_program(platform, 0)
    if listed and program and (requested or not build):
        build_error = _try_build(platform, program, session, scratch)
        build = build_error is None
    try:
        runner = session.runner(platform)
    except DockerbinError as error:
        return Ability(
            platform=platform,
            requested=requested,
            build=build,
            build_error=build_error,
            run_error=error,
        )
    return Ability(
        platform=platform,
        requested=requested,
        build=build,
        build_error=build_error,
        run=True,
        runner=runner.name,
        emulated=runner.emulated,
        version=runner.version or None,
    )


def _try_build(
    platform: Platform, program: bytes, session: Builder, scratch: Path
) -> DockerbinError | None:
    """Build a Dockerfile whose one step runs a tiny program; return why that failed, or None."""
    context = scratch / platform.slug
    context.mkdir()
    (context / "probe").write_bytes(program)
    (context / "probe").chmod(0o755)
    (context / "Dockerfile").write_text(_DOCKERFILE)
    spec = BuildSpec(
        context=context, dockerfile=context / "Dockerfile", no_cache=True, verify=False
    )
    try:
        session.build(spec, platform)
    except DockerbinError as error:
        return error
    return None
