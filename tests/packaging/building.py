"""Builds the files of a release."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
EPOCH = os.environ.get("SOURCE_DATE_EPOCH", "1700000000")


@dataclass(frozen=True)
class Distributions:
    """A source distribution, and the wheel that was made of it."""

    sdist: Path
    wheel: Path


def tracked() -> list[str]:
    """Return the names of the checkout's files."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={REPOSITORY}", "ls-files", "-z"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    # what is removed and not yet committed so
    return [name for name in listed.stdout.split("\0") if (REPOSITORY / name).is_file()]


def build(checkout: Path, dest: Path, **variables: str) -> Distributions:
    """Build as `python -m build` does: the sdist, and the wheel of what is in it."""
    command = [sys.executable, "-m", "build", "--no-isolation", f"--outdir={dest}", str(checkout)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,) = dest.glob("*.tar.gz")
    (wheel,) = dest.glob("*.whl")
    return Distributions(sdist, wheel)


def copy_of_checkout(dest: Path) -> Path:
    """Copy what git knows, and nothing that lies about."""
    for name in tracked():
        (dest / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, dest / name)
    return dest
