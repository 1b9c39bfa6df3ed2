"""Projects as users have them, built by the real engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]

# one stage runs a program of the target platform, as most people's Dockerfiles do
BUSYBOX = """\
FROM scratch AS build
ARG TARGETARCH
COPY busybox-${TARGETARCH} /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox mkdir /out && /bin/busybox cp /bin/busybox /out/"]
FROM scratch
COPY --from=build /out/ /
"""


@pytest.fixture(scope="session")
def busybox(tmp_path_factory) -> Path:
    """A folder with a static busybox for each of some architectures."""
    folder = tmp_path_factory.mktemp("busybox")
    subprocess.run(
        [sys.executable, REPOSITORY / "tools" / "engine", "busybox", folder],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="session")
def debian() -> None:
    """Have Debian's image for two platforms: the real one, or a stand-in."""
    run = subprocess.run(
        [sys.executable, REPOSITORY / "tools" / "engine", "images", "debian:stable-slim"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "cannot hold" in run.stderr:
        pytest.skip("the classic image store holds no stand-in for several platforms")
    assert run.returncode == 0, run.stderr


@dataclass(frozen=True)
class Project:
    """A folder with a Dockerfile and tests, and how to run them."""

    pytester: pytest.Pytester
    record: Path

    def dockerfile(self, text: str = BUSYBOX, name: str = "Dockerfile") -> None:
        """Write a Dockerfile."""
        (self.pytester.path / name).write_text(text)

    def run(self, *args: str, env: dict[str, str] | None = None) -> pytest.RunResult:
        """Run pytest in a process of its own, as a user does."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            return self.pytester.runpytest_subprocess("-p", "no:cacheprovider", *args)

    def calls(self) -> list[list[str]]:
        """Return the arguments of every docker process so far."""
        if not self.record.exists():
            return []
        return [json.loads(line) for line in self.record.read_text().splitlines()]

    def builds(self) -> list[list[str]]:
        """Return the arguments of every ``docker buildx build`` so far."""
        return [call for call in self.calls() if call[:2] == ["buildx", "build"]]


@pytest.fixture(scope="session")
def containerd_store() -> bool:
    """Whether the engine keeps its images with containerd."""
    info = ["docker", "info", "--format={{json .DriverStatus}}"]
    said = subprocess.run(info, check=True, capture_output=True, text=True).stdout
    return "io.containerd.snapshotter" in said


@pytest.fixture(scope="session")
def second_engine() -> Iterator[str]:
    """The address of another engine than that of docker: one of another machine's, for a test."""
    missing = pytest.fail if os.environ.get("CI") else pytest.skip
    engine = [sys.executable, str(REPOSITORY / "tools" / "engine")]
    start = subprocess.run(
        [*engine, "start", "second"], capture_output=True, text=True, check=False
    )
    if start.returncode:
        missing(f"no second engine: {start.stderr}")
    told = subprocess.run([*engine, "status", "--json"], capture_output=True, check=True)
    rows = json.loads(told.stdout)["flavours"]
    yield next(row["socket"] for row in rows if row["flavour"] == "second")
    subprocess.run([*engine, "stop", "second"], check=True, capture_output=True)


@pytest.fixture
def far_context(project, second_engine, monkeypatch, tmp_path) -> str:
    """A docker context ``far`` that leads to the second engine; docker's own is as it was."""
    before = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"))
    config = tmp_path / "docker-config"
    config.mkdir()
    (config / "config.json").write_text("{}")  # without it docker-py reads no contexts
    if (before / "cli-plugins").is_dir():
        (config / "cli-plugins").symlink_to(before / "cli-plugins")
    monkeypatch.setenv("DOCKER_CONFIG", str(config))
    create = ["docker", "context", "create", "far", f"--docker=host={second_engine}"]
    subprocess.run(create, check=True, capture_output=True)
    return "far"


@pytest.fixture
def project(pytester, monkeypatch, tmp_path, busybox) -> Project:
    """An empty project whose docker calls are recorded on their way to the real docker."""
    for name in ("CI", "BUILD_NUMBER", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DOCKERBIN_CACHE_DIR", str(tmp_path / "cache"))
    for file in busybox.iterdir():
        os.link(file, pytester.path / file.name)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    record = tmp_path / "docker-calls"
    shim = bin_folder / "docker"
    shim.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys\n"
        f"with open({str(record)!r}, 'a') as calls:\n"
        "    calls.write(json.dumps(sys.argv[1:]) + '\\n')\n"
        f"os.execv({shutil.which('docker')!r}, ['docker', *sys.argv[1:]])\n"
    )
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
    return Project(pytester, record)
