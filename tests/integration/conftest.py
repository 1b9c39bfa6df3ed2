"""Projects as users have them, built by the real engine."""

from __future__ import annotations

import functools
import ipaddress
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from listening import free_port, listening

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]

ENGINE = [sys.executable, str(REPOSITORY / "tools" / "engine")]

second_engine_key = pytest.StashKey[bool]()
tables_key = pytest.StashKey[dict[str, dict[tuple[str, str], str]]]()


@pytest.fixture(scope="session")
def tables(request) -> dict[str, dict[tuple[str, str], str]]:
    """What is shown at the end of the run, by title: cells by row and column."""
    return request.config.stash.setdefault(tables_key, {})


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the second engine after all tests; an xdist worker leaves that to its controller."""
    stash = session.config.stash
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tables"] = stash.get(tables_key, {})
        session.config.workeroutput["second engine"] = stash.get(second_engine_key, False)
    elif stash.get(second_engine_key, False):
        subprocess.run([*ENGINE, "stop", "second"], check=True, capture_output=True)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node) -> None:
    """Take what a worker leaves to its controller; one that crashed told nothing."""
    stash, told = node.config.stash, getattr(node, "workeroutput", {})
    stash.setdefault(tables_key, {}).update(told.get("tables", {}))
    if told.get("second engine", True):
        stash[second_engine_key] = True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables, as the documentation has them."""
    for title, cells in terminalreporter.config.stash.get(tables_key, {}).items():
        if not cells:  # no test came so far
            continue
        terminalreporter.section(title)
        columns = list(dict.fromkeys(column for _, column in cells))
        width = max(len(row) for row, _ in cells)
        terminalreporter.write_line(" | ".join(["".ljust(width), *columns]))
        for row in dict.fromkeys(row for row, _ in cells):
            told = [cells.get((row, column), "").ljust(len(column)) for column in columns]
            terminalreporter.write_line(" | ".join([row.ljust(width), *told]).rstrip())


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
        [*ENGINE, "busybox", folder],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="session")
def debian() -> None:
    """Have Debian's image for two platforms: the real one, or a stand-in."""
    run = subprocess.run(
        [*ENGINE, "images", "debian:stable-slim"],
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
            # builds in turn: what order is told, which build an engine loses
            alone = "--dockerbin-jobs=0"
            return self.pytester.runpytest_subprocess("-p", "no:cacheprovider", alone, *args)

    def calls(self) -> list[list[str]]:
        """Return the arguments of every docker process so far."""
        if not self.record.exists():
            return []
        return [json.loads(line) for line in self.record.read_text().splitlines()]

    def builds(self) -> list[list[str]]:
        """Return the arguments of every ``docker buildx build`` so far."""
        return [call for call in self.calls() if call[:2] == ["buildx", "build"]]


@dataclass(frozen=True)
class Network:
    """A network namespace, and this one's end of the cable to it."""

    name: str
    near: str
    address: str

    def cut(self) -> list[str]:
        """Return the command that pulls the cable out."""
        return ["ip", "link", "set", self.near, "down"]

    def join(self) -> None:
        """Put it in again."""
        subprocess.run(["ip", "link", "set", self.near, "up"], check=True)


@pytest.fixture(scope="session")
def containerd_store() -> bool:
    """Whether the engine keeps its images with containerd."""
    info = ["docker", "info", "--format={{json .DriverStatus}}"]
    said = subprocess.run(info, check=True, capture_output=True, text=True).stdout
    return "io.containerd.snapshotter" in said


@pytest.fixture(scope="session")
def second_engine(request) -> str:
    """The address of another engine than that of docker: one of another machine's, for a test."""
    missing = pytest.fail if os.environ.get("CI") else pytest.skip
    request.config.stash[second_engine_key] = True
    start = subprocess.run(
        [*ENGINE, "start", "second"], capture_output=True, text=True, check=False
    )
    if start.returncode:
        missing(f"no second engine: {start.stderr}")
    told = subprocess.run([*ENGINE, "status", "--json"], capture_output=True, check=True)
    rows = json.loads(told.stdout)["flavours"]
    return next(row["socket"] for row in rows if row["flavour"] == "second")


@pytest.fixture
def docker_config(monkeypatch, tmp_path) -> None:
    """A place for contexts and builders; docker's own is as it was."""
    before = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"))
    config = tmp_path / "docker-config"
    config.mkdir()
    (config / "config.json").write_text("{}")  # without it docker-py reads no contexts
    if (before / "cli-plugins").is_dir():
        (config / "cli-plugins").symlink_to(before / "cli-plugins")
    monkeypatch.setenv("DOCKER_CONFIG", str(config))


@pytest.fixture
def far_context(project, docker_config, second_engine) -> str:
    """A docker context ``far`` that leads to the second engine."""
    create = ["docker", "context", "create", "far", f"--docker=host={second_engine}"]
    subprocess.run(create, check=True, capture_output=True)
    return "far"


@pytest.fixture(scope="session")
def far_network(second_engine) -> Iterator[Network]:
    """A network namespace, of a machine that the second engine is on."""
    missing = pytest.fail if os.environ.get("CI") else pytest.skip
    if os.geteuid() != 0 or shutil.which("ip") is None:
        missing("network namespaces need root and iproute2")
    name = f"dbin{os.getpid()}"
    # of the addresses that are for trials of networks, four of this process's own
    block = ipaddress.IPv4Network("198.18.0.0/16")[4 * (os.getpid() % 2**14)]
    network = Network(name, near=f"{name}n", address=str(block + 2))
    ip = functools.partial(subprocess.run, check=True)
    ip(["ip", "netns", "add", name])
    try:
        link = ["ip", "link", "add", network.near, "type", "veth", "peer"]
        ip([*link, "name", "eth0", "netns", name])
        ip(["ip", "addr", "add", f"{block + 1}/30", "dev", network.near])
        ip(["ip", "link", "set", network.near, "up"])
        ip(["ip", "-n", name, "addr", "add", f"{network.address}/30", "dev", "eth0"])
        ip(["ip", "-n", name, "link", "set", "eth0", "up"])
        yield network
    finally:
        # by itself the cable would stay as long as a container has this machine's mounts
        ip(["ip", "link", "del", network.near])
        ip(["ip", "netns", "del", name])


@pytest.fixture
def line_to_network(far_network, docker_config, second_engine) -> Iterator[str]:
    """A docker context ``tcp`` that leads to the second engine by TCP, in another network."""
    lines = [sys.executable, Path(__file__).with_name("lines.py"), far_network.address]
    inside = ["ip", "netns", "exec", far_network.name, *lines]
    process = subprocess.Popen([*inside, second_engine], stdout=subprocess.PIPE, text=True)
    try:
        host = f"tcp://{far_network.address}:{int(process.stdout.readline())}"
        create = ["docker", "context", "create", "tcp", f"--docker=host={host}"]
        subprocess.run(create, check=True, capture_output=True)
        yield "tcp"
    finally:
        process.terminate()
        process.communicate()
        far_network.join()


@pytest.fixture
def registry(tmp_path) -> Iterator[str]:
    """An image registry on the loopback interface: its host and port."""
    missing = pytest.fail if os.environ.get("CI") else pytest.skip
    told = subprocess.run([*ENGINE, "registry"], capture_output=True, text=True, check=False)
    if told.returncode:
        missing(f"no registry: {told.stderr}")
    port = free_port()
    configuration = tmp_path / "registry.json"
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "registry")}}
    http = {"addr": f"127.0.0.1:{port}"}
    configuration.write_text(json.dumps({"version": "0.1", "storage": storage, "http": http}))
    program = told.stdout.splitlines()[-1]
    with listening([program, "serve", configuration], port, tmp_path / "registry.log"):
        yield f"127.0.0.1:{port}"


@pytest.fixture
def project(pytester, monkeypatch, tmp_path, busybox) -> Project:
    """An empty project whose docker calls are recorded on their way to the real docker."""
    for name in ("CI", "BUILD_NUMBER"):
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
