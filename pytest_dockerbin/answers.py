"""What a session finds out once, in a file for all its processes: what was made, or the error.

``outcome.json`` in a folder of the session's store holds either; the folder may hold more, as a
build's does.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

from pytest_dockerbin.errors import DockerbinError, error_from_json
from pytest_dockerbin.manifest import Manifest
from pytest_dockerbin.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_dockerbin.store import SessionStore

_FILE = "outcome.json"


def ask(
    store: SessionStore, name: str, find: Callable[[Path], dict[str, Any]]
) -> dict[str, Any] | DockerbinError:
    """Return what ``find`` returned, or its error, in the process of the session that asked first.

    Args:
        store: the session's.
        name: of the question.
        find: gets a folder that it may write into.
    """
    return read(store.once(name, writer(find)))


def writer(find: Callable[[Path], dict[str, Any]]) -> Callable[[Path], None]:
    """Let ``find`` write what it returns, or its error of this package, into the folder it gets."""

    def write(folder: Path) -> None:
        try:
            outcome = {"made": find(folder)}
        except DockerbinError as error:
            shutil.rmtree(folder / "tree", ignore_errors=True)  # what was exported up to there
            outcome = {"error": error.to_json()}
        (folder / _FILE).write_text(json.dumps(outcome))

    return write


def read(folder: Path) -> dict[str, Any] | DockerbinError:
    """Return what stands in the folder: what was made, or the error."""
    outcome = json.loads((folder / _FILE).read_text())
    if "error" in outcome:
        return error_from_json(outcome["error"])
    made: dict[str, Any] = outcome["made"]
    return made


def read_made(folder: Path) -> dict[str, Any]:
    """Return what was made.

    Raises:
        DockerbinError: it was an error.
    """
    return made_of(read(folder))


def made_of(answer: dict[str, Any] | DockerbinError) -> dict[str, Any]:
    """Return an answer that is no error.

    Raises:
        DockerbinError: it is one.
    """
    if isinstance(answer, DockerbinError):
        raise answer
    return answer


def rewrite(folder: Path, made: dict[str, Any], aside: Path) -> None:
    """Put what was made anew in the place of what stands in the folder, by one rename.

    Args:
        folder: which.
        made: what was made.
        aside: a folder on the same file system.
    """
    (aside / _FILE).write_text(json.dumps({"made": made}))
    (aside / _FILE).replace(folder / _FILE)


def named(what: str, name: str | None) -> str:
    """Return the name of a question about any text: ``what``, and a digest of it."""
    return f"{what}-{hashlib.sha256((name or '').encode()).hexdigest()[:12]}"


def read_result(folder: Path) -> Record:
    """Return the record of what a build exported into ``folder / "tree"``, by its artifact's path.

    Raises:
        OSError: it is not there, or not on this machine.
    """
    made = read_made(folder)
    return Record(
        manifest=Manifest.from_json(made["manifest"]),
        folders=tuple(made["folders"]),
        label=made["label"],
    )
