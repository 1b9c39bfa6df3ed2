"""What runs a session's programs: decided once a platform, whichever process asks first."""

from __future__ import annotations

import threading
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_dockerbin import answers
from pytest_dockerbin.errors import DockerbinError, NotPrebuiltError
from pytest_dockerbin.runners.quarters import Quarters

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_dockerbin.artifact import Artifact
    from pytest_dockerbin.hooks import Hooks
    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.results import Runner, Sysroot
    from pytest_dockerbin.runner_spec import RunnerSpec
    from pytest_dockerbin.runners.chain import Decision
    from pytest_dockerbin.runners.containers import Containers
    from pytest_dockerbin.settings import Settings
    from pytest_dockerbin.spec import BuildSpec
    from pytest_dockerbin.store import SessionStore
    from pytest_dockerbin.watchdog import Watchdog


class SessionRunners:
    """The runners of a session, one a platform.

    Args:
        settings: what they are to be, and their limits.
        session: the session's name.
        store: the session's.
        hooks: what others may choose.
        watchdog: ends programs and containers of a session that is killed.
        build: builds the sysroots of dynamic programs.

    Attributes:
        chosen: what is to run the programs of a platform, where that was asked for: what the
            settings say, and then the hook.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        session: str,
        store: SessionStore,
        hooks: Hooks,
        watchdog: Watchdog,
        build: Callable[[BuildSpec, Platform], Artifact],
    ) -> None:
        self._settings = settings
        self._session = session
        self._store = store
        self._hooks = hooks
        self._watchdog = watchdog
        self._build = build
        self._quarters = Quarters(store.path)
        self._found: dict[tuple[Platform, str | None], Runner | DockerbinError] = {}
        self._sysroots: dict[tuple[object, ...], Sysroot | None] = {}
        self._deciding = threading.RLock()
        self.chosen: dict[Platform, RunnerSpec] = {}

    def close(self) -> None:
        """End what runs, and the containers."""
        self._quarters.close()
        if "_containers" in self.__dict__:
            self._containers.close()

    def runner(self, platform: Platform, model: str | None = None) -> Runner:
        """Return what runs programs of ``platform`` on this host; proved once in a session.

        Args:
            platform: whose programs.
            model: a CPU model of QEMU's to run them on.

        Raises:
            EmulatorError: nothing does.
            SettingsError: QEMU has no such CPU model, or a hook names no runner.
        """
        __tracebackhide__ = True
        with self._deciding:
            found = self._found.get((platform, model))
            if found is None:
                found = self._found[platform, model] = self._find(platform, model)
        if isinstance(found, DockerbinError):
            raise copy(found)
        return found

    def known(self, platform: Platform) -> Runner | None:
        """Return what runs programs of ``platform``, if this process asked for that before."""
        found = self._found.get((platform, None))
        return None if isinstance(found, DockerbinError) else found

    def can_run(self, platform: Platform) -> bool:
        """Tell whether anything runs programs of ``platform`` here."""
        try:
            self.runner(platform)
        except DockerbinError:
            return False
        return True

    def of_program(
        self,
        spec: BuildSpec,
        platform: Platform,
        tree: Path,
        program: Path,
        model: str | None = None,
    ) -> Runner:
        """Return what runs one exported program, with its sysroot where the build names one.

        Args:
            spec: the build.
            platform: for which it was built.
            tree: what it exported.
            program: which of it.
            model: a CPU model of QEMU's to run it on.

        Raises:
            DockerbinError: as `runner`, or the sysroot can't be had.
        """
        __tracebackhide__ = True
        runner = self.runner(platform, model).with_tree(tree)
        if spec.sysroot_target is None:
            return runner
        from pytest_dockerbin.sysroot import Libraries, export_sysroot  # noqa: PLC0415 (3 ms)

        asked = (spec.export_key(), spec.sysroot_target, platform, program)
        if self._settings.prebuilt and Libraries.of(program, platform):
            raise NotPrebuiltError.of_sysroot(str(platform), program.name)
        if asked not in self._sysroots:
            self._sysroots[asked] = export_sysroot(
                lambda stage: self._build(stage, platform), spec, program, platform, tree=tree
            )
        sysroot = self._sysroots[asked]
        return runner.with_sysroot(sysroot) if sysroot else runner

    def load(self, archive: Path, digest: str) -> str:
        """Return the name of an exported image in the engine, once it is there.

        Args:
            archive: the image.
            digest: of the archive.
        """
        with self._deciding:  # else this one and a background build might make two of them
            containers = self._containers
        return containers.load(archive, digest)

    @cached_property
    def _containers(self) -> Containers:
        """What runs programs in containers; made for who runs one there."""
        from pytest_dockerbin.runners.containers import Containers  # noqa: PLC0415 (as `Maker` says)

        return Containers(self._session, self._watchdog.command)

    def _find(self, platform: Platform, model: str | None) -> Runner | DockerbinError:
        __tracebackhide__ = True
        # with the runners below 12 ms, a seventh of what all modules take: only who runs pays them
        from pytest_dockerbin.runners.chain import Decision, decide  # noqa: PLC0415

        spec = self._hooks.choose_runner(platform, self._settings.runner_for(platform))
        self.chosen[platform] = spec
        name = f"runner-{platform.slug}"
        if model:
            name = answers.named(name, model)
        answer = answers.ask(
            self._store,
            name,
            lambda folder: decide(
                spec, platform, folder, model=model, containers=self._containers
            ).to_json(),
        )
        if isinstance(answer, DockerbinError):
            return answer
        return self._runner_by(Decision.from_json(answer), platform)

    def _runner_by(self, decision: Decision, platform: Platform) -> Runner:
        from pytest_dockerbin.runners.host import HostRunner  # noqa: PLC0415 (as above)

        runner = HostRunner(
            name=decision.name,
            emulated=decision.emulated,
            timeout=self._settings.run_timeout,
            timeout_factor=self._settings.emulation_factor if decision.emulated else 1.0,
            prefix=decision.prefix,
            variables=decision.variables,
            argv0=decision.argv0,
            version=decision.version,
            cpu=decision.cpu,
            launchers=self._store.path / "launchers",
            quarters=self._quarters,
            guard=self._watchdog.programs,
        )
        if not decision.image:
            return runner
        from pytest_dockerbin.runners.container import ContainerRunner  # noqa: PLC0415 (as above)
        from pytest_dockerbin.runners.containers import Place  # noqa: PLC0415

        place = Place(
            docker=decision.prefix,
            context=decision.context,
            image=decision.image,
            platform=platform.built_as,
        )
        return ContainerRunner.of(runner, self._containers, place)
