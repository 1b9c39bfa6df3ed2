"""The projects that are measured: Dockerfiles without a registry, and tests of what they export."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7")
LIST = ",".join(PLATFORMS)

# pytest, too, would walk through a large context
SETTINGS = "[pytest]\naddopts = -q -p no:cacheprovider\nnorecursedirs = files\n"

DOCKERFILE = """\
FROM scratch
ARG TARGETARCH
COPY busybox-${TARGETARCH} /busybox
"""

# all of its files are sent to BuildKit, and one is exported
READ = """\
FROM scratch AS all
COPY files /files
FROM scratch
COPY --from=all /files/00000/0000000 /first
"""

# whatever was exported
ANY = "def test_it(dockerbin):\n    pass\n"
NOTHING = "def test_nothing():\n    pass\n"

OURS = """\
def test_it_is_there(dockerbin):
    assert (dockerbin / "busybox").stat().st_size > 100_000
"""

# what people write: ten lines of subprocess, one call for all platforms
BY_HAND = f"""\
import subprocess
import pytest

@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    subprocess.run(
        ["docker", "buildx", "build", "--platform={LIST}", f"--output={{out}}", "."], check=True
    )
    return out

@pytest.mark.parametrize("platform", {PLATFORMS!r})
def test_it_is_there(exported, platform):
    folder = exported / platform.replace("/", "_")
    assert (folder / "busybox").stat().st_size > 100_000
"""

# the same with a call for each platform, all at once
BY_HAND_PARALLEL = f"""\
import subprocess
import pytest

PLATFORMS = {PLATFORMS!r}

@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    calls = []
    for platform in PLATFORMS:
        dest = out / platform.replace("/", "_")
        flags = [f"--platform={{platform}}", f"--output={{dest}}"]
        calls.append(subprocess.Popen(["docker", "buildx", "build", *flags, "."]))
    assert [call.wait() for call in calls] == [0] * len(calls)
    return out

@pytest.mark.parametrize("platform", PLATFORMS)
def test_it_is_there(exported, platform):
    folder = exported / platform.replace("/", "_")
    assert (folder / "busybox").stat().st_size > 100_000
"""

WHALES = f"""\
import pytest
from python_on_whales import docker

@pytest.fixture(scope="session", params={PLATFORMS!r})
def exported(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    docker.buildx.build(
        ".", platforms=[request.param], output={{"type": "local", "dest": str(out)}}, progress=False
    )
    return out

def test_it_is_there(exported):
    assert (exported / "busybox").stat().st_size > 100_000
"""

PLAIN = f"""\
import os
from pathlib import Path
import pytest

@pytest.fixture(scope="session", params={PLATFORMS!r})
def exported(request):
    return Path(os.environ["EXPORTED"]) / request.param.replace("/", "_")

def test_it_is_there(exported):
    assert (exported / "busybox").stat().st_size > 100_000
"""


class Suites:
    """Makes the projects in a folder.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._busybox = folder / "busybox"
        self._busybox.mkdir()
        subprocess.run(
            [sys.executable, REPOSITORY / "tools" / "engine", "busybox", self._busybox],
            check=True,
            capture_output=True,
        )

    def project(self, name: str, tests: str = OURS, dockerfile: str = DOCKERFILE) -> Path:
        """Return a folder with a Dockerfile, the programs that it exports, and tests."""
        project = self._folder / name
        project.mkdir()
        for file in self._busybox.iterdir():
            shutil.copy(file, project)
        (project / "Dockerfile").write_text(dockerfile)
        # what the runs write into the folder is no input
        (project / ".dockerignore").write_text("*\n!busybox-*\n!files\n")
        (project / "pytest.ini").write_text(SETTINGS)
        (project / "test_it.py").write_text(tests)
        return project

    def empty(self) -> Path:
        """Return a folder with a test that does nothing."""
        project = self._folder / "empty"
        project.mkdir()
        (project / "pytest.ini").write_text(SETTINGS)
        (project / "test_it.py").write_text(NOTHING)
        return project

    @staticmethod
    def fill(project: Path, count: int, size: int = 100) -> None:
        """Put ``count`` files of ``size`` bytes into the context, a hundred to a folder."""
        for number in range(count):
            folder = project / "files" / f"{number // 100:05}"
            if number % 100 == 0:
                folder.mkdir(parents=True)
            (folder / f"{number:07}").write_bytes(number.to_bytes(8, "big") + bytes(size - 8))
