"""What bake files say, asked once in a session."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dockerbin import answers
from pytest_dockerbin.build_name import BakedAs
from pytest_dockerbin.errors import DockerbinError, EngineError, NotPrebuiltError

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dockerbin.bake_target import BakeTargets
    from pytest_dockerbin.settings import Settings
    from pytest_dockerbin.spec import BuildSpec
    from pytest_dockerbin.store import SessionStore


class Baking:
    """The bake targets of a session.

    Args:
        settings: where the project and the prebuilt folder are.
        store: the session's.
    """

    def __init__(self, settings: Settings, store: SessionStore) -> None:
        self._settings = settings
        self._store = store
        self._found: dict[tuple[tuple[Path, ...], str | None], BakeTargets | DockerbinError] = {}

    def targets(self, files: tuple[Path, ...], target: str | None = None) -> BakeTargets:
        """Return what a target or group of a bake file stands for; bake is asked once a session.

        Args:
            files: the bake files, absolute.
            target: its name; bake's ``default`` when None.

        Raises:
            SettingsError: there is no such file or target, or bake can't read it.
            UnavailableError: docker, buildx or a file that bake looks for at once is missing.
        """
        if (files, target) not in self._found:
            found = self._prebuilt(files, target) or self._ask(files, target)
            self._found[files, target] = found
            if not isinstance(found, DockerbinError):  # each alone is known with that
                for name in found.names:
                    self._found.setdefault((files, name), replace(found, names=(name,)))
        found = self._found[files, target]
        if isinstance(found, DockerbinError):
            raise found
        return found

    def baked_as(self, spec: BuildSpec) -> BakedAs | None:
        """Return which bake target a spec is, by the names that it was asked for; or None."""
        if spec.baked is None:
            return None
        files, name = spec.baked.files, spec.baked.target
        asked = {name}
        for (where, target), found in self._found.items():
            known = not isinstance(found, DockerbinError) and name in found.names
            if where == files and known:
                asked.add(target or "default")
        file = os.path.relpath(files[0], self._settings.project)
        return BakedAs(file, name, tuple(sorted(asked)))

    def _prebuilt(self, files: tuple[Path, ...], target: str | None) -> BakeTargets | None:
        """Return what the prebuilt folder knows of it; docker need not be here then."""
        if not self._settings.prebuilt:
            return None
        from pytest_dockerbin.bake_target import BakeTargets  # noqa: PLC0415 (as `Maker` says)
        from pytest_dockerbin.prebuilt import Prebuilt  # noqa: PLC0415

        file = os.path.relpath(files[0], self._settings.project)
        found = Prebuilt(self._settings.prebuilt).bake(file, target or "default")
        return BakeTargets.prebuilt(files, found) if found else None

    def _ask(self, files: tuple[Path, ...], target: str | None) -> BakeTargets | DockerbinError:
        from pytest_dockerbin.bake_target import BakeTargets  # noqa: PLC0415 (as `Maker` says)
        from pytest_dockerbin.buildx.bake import print_definition  # noqa: PLC0415

        name = answers.named("bake", json.dumps([*map(str, files), target]))
        answer = answers.ask(self._store, name, lambda _: print_definition(files, target))
        if isinstance(answer, DockerbinError):
            prebuilt = self._settings.prebuilt
            whole = all(file.is_file() for file in files)
            if prebuilt and (isinstance(answer, EngineError) or not whole):
                return NotPrebuiltError.of_bake(target or "default", files[0].name, prebuilt)
            return answer
        found = BakeTargets.of(files, answer)
        if self._settings.prebuilt:
            # a target is what its name says there, and not what builds with equal settings are
            return BakeTargets.prebuilt(
                files, {each: found.platforms(each) for each in found.names}
            )
        return found
