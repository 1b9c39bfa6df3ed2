"""Each build setting, by each way to give it: a table of what works, one cell a test.

A whole pytest run for each way holds a test for each setting; the tests here are its outcomes. They
are a table at the end of the run, and those with buildx 0.13 and 0.29 are one in the documentation.
"""

from __future__ import annotations

import re
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_dockerbin.build_settings import setting_names

pytestmark = pytest.mark.engine

Table = dict[tuple[str, str], str]

# reports what its step saw
DOCKERFILE = """\
FROM scratch AS extra
COPY <<EOT /name
no named context
EOT
FROM scratch AS build
ARG TARGETARCH
ARG ANSWER=default
COPY busybox-${TARGETARCH} /bin/busybox
COPY --from=extra /name /extra
RUN --mount=type=secret,id=token --mount=type=ssh ["/bin/busybox", "sh", "-c", "\\
/bin/busybox mkdir -p /out/bin /tmp; cd /out; /bin/busybox cp /bin/busybox /out/bin/tool; \\
echo $ANSWER > answer; \\
/bin/busybox cp /extra extra; \\
/bin/busybox cp /etc/hosts hosts; \\
/bin/busybox ls /sys/class/net > network; \\
/bin/busybox cat /proc/self/cgroup > cgroup; \\
/bin/busybox df -k /dev/shm > shm; \\
ulimit -n > nofile; \\
/bin/busybox cat /proc/sys/kernel/random/uuid > step; \\
/bin/busybox sha256sum /run/secrets/token > secret; \\
if [ -S \\"$SSH_AUTH_SOCK\\" ]; then echo agent; else echo none; fi > ssh"]
FROM scratch AS other
COPY --from=build /out/answer /other
FROM scratch
COPY --from=build /out /
"""

# makes an SBOM as BuildKit's own generator does, which only a registry has
GENERATOR = "pytest-dockerbin.test/generator:1"
GENERATOR_DOCKERFILE = """\
FROM scratch
COPY busybox-amd64 /bin/busybox
COPY --chmod=755 <<EOT /scan
/bin/busybox cat > "\\$BUILDKIT_SCAN_DESTINATION/scan.spdx.json" <<EOS
{"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document",
 "predicate": {"name": "scan"}}
EOS
EOT
ENTRYPOINT ["/bin/busybox", "sh", "/scan"]
"""

PLAIN = "FROM scratch\nCOPY <<EOT /answer\nEOT\n"
TEXT = r'"FROM scratch\nCOPY <<EOT /text\nEOT\n"'


@dataclass(frozen=True)
class Cell:
    """What a test gives for a setting, and what it looks at.

    Attributes:
        value: as Python has it.
        check: an expression that must be true; ``it`` is the artifact, ``read`` reads a file of it.
        ini: lines of the ini key; None where there is none.
        more: settings that it needs beside it.
    """

    value: str
    check: str
    ini: str | None = None
    more: str = ""


SETTINGS = {
    "context": Cell("'sub'", "has('answer') and not has('bin/tool')", "sub"),
    "context-archive": Cell("'sub.tar'", "has('answer') and not has('bin/tool')", "sub.tar"),
    "dockerfile": Cell("'sub/Dockerfile'", "not has('bin/tool')", "sub/Dockerfile"),
    "dockerfile-text": Cell(TEXT, "has('text')", "FROM scratch\nCOPY <<EOT /text\nEOT"),
    "bake": Cell("'docker-bake.hcl'", "has('answer') and not has('bin/tool')", "docker-bake.hcl"),
    "target": Cell("'other'", "has('other')", "other"),
    "build_args": Cell("{'ANSWER': '42'}", "read('answer') == '42'", "ANSWER=42"),
    "build_contexts": Cell("{'extra': 'named'}", "read('extra') == 'named'", "extra=named"),
    # BuildKit's cache does not tell builds with and without them apart
    "secrets": Cell(
        "{'token': 'env:TOKEN'}",
        "len(read('secret')) > 64",
        "token=env:TOKEN",
        "build_args={'ANSWER': 'secret'}",
    ),
    "ssh": Cell(
        "{'default': 'agent'}",
        "read('ssh') == 'agent'",
        "default=agent",
        "build_args={'ANSWER': 'ssh'}",
    ),
    "network": Cell("'none'", "read('network') == 'lo'", "none"),
    "add_hosts": Cell("{'a.test': '10.9.8.7'}", "'10.9.8.7' in read('hosts')", "a.test:10.9.8.7"),
    "labels": Cell("{'a.b': 'c d'}", "label(it) == 'c d'", "a.b=c d", "exporter='docker'"),
    "frontend": Cell("'builtin'", "has('answer')", "builtin", "dockerfile='syntax.Dockerfile'"),
    "no_cache": Cell("True", "read('step') != step", "true"),
    "no_cache_filter": Cell(
        "['build']", "'--no-cache-filter=build' in command(it) and read('step') != step", "build"
    ),
    "pull": Cell("True", "'--pull' in command(it)", "true"),
    "cache_from": Cell(
        "['127.0.0.1:9/x:c']",
        "'--cache-from=ref=127.0.0.1:9/x:c-' in command(it)",
        "127.0.0.1:9/x:c",
    ),
    "cache_to": Cell("['type=inline']", "'--cache-to=type=inline' in command(it)", "type=inline"),
    "shm_size": Cell("'32m'", "' 32768 ' in read('shm')", "32m"),
    "ulimits": Cell("{'nofile': (100, 200)}", "read('nofile') == '100'", "nofile=100:200"),
    "cgroup_parent": Cell("'dockerbin'", "'/dockerbin/' in read('cgroup')", "dockerbin"),
    "attests": Cell("['type=provenance']", "attested(it)", "type=provenance,mode=min"),
    "provenance": Cell("'max'", "attested(it)", "max"),
    "sbom": Cell(
        f"'generator={GENERATOR}'",
        "it.sbom['predicate']['name'] == 'scan'",
        f"generator={GENERATOR}",
    ),
    "builder": Cell("'default'", "'--builder=default' in command(it)", "default"),
    "exporter": Cell("'tar'", "'answer' in tarfile.open(it).getnames()", "tar"),
    "binary": Cell("'bin/tool'", "it.binary().path == it / 'bin/tool'", "bin/tool"),
    "verify": Cell("'static'", "has('bin/tool')", "static"),
    "sysroot_target": Cell("'build'", "has('bin/tool')", "build"),
}

HELPERS = """
import json, tarfile
import pytest, pytest_dockerbin

def label(it):
    with tarfile.open(it) as tar:
        (image,) = json.load(tar.extractfile("manifest.json"))
        return json.load(tar.extractfile(image["Config"]))["config"]["Labels"]["a.b"]

def command(it):
    return it.build.log_path.read_text().splitlines()[0]

def attested(it):
    clean = not [file.name for file in it.files if "provenance" in file.name]
    return clean and it.provenance["predicate"]

def holds(check, it, step=None):
    has = lambda name: (it / name).exists()
    read = lambda name: (it / name).read_text().strip()
    return eval(check, globals() | {"it": it, "has": has, "read": read, "step": step})
"""

# in the ini file they are given together, but for those that exclude one another
ALONE = ("context", "context-archive", "dockerfile", "dockerfile-text", "bake", "target", "labels")
ALONE += ("frontend", "no_cache", "attests", "provenance", "sbom", "exporter")


def arguments_of(setting: str) -> str:
    """Return a setting, and what it needs, as arguments in Python."""
    cell = SETTINGS[setting]
    return ", ".join(filter(None, (f"{setting.partition('-')[0]}={cell.value}", cell.more)))


def body(setting: str) -> str:
    """Return the last line of a setting's test."""
    return f"    assert holds({SETTINGS[setting].check!r}, it, STEP)\n"


def by_marker(setting: str) -> str:
    """Return a test that gives a setting by the marker."""
    given = f"@pytest.mark.dockerbin({arguments_of(setting)})\n"
    return f"{given}def test_{_id(setting)}(dockerbin):\n    it = dockerbin\n{body(setting)}"


def by_factory(setting: str) -> str:
    """Return a test that gives a setting to ``dockerbin_build``."""
    given = arguments_of(setting)
    if not setting.startswith("context"):
        given = f"'.', {given}"
    call = f"    it = dockerbin_build({given})\n"
    return f"def test_{_id(setting)}(dockerbin_build):\n{call}{body(setting)}"


def by_fixture(setting: str) -> str:
    """Return a test that gives a setting to a named build."""
    given = arguments_of(setting)
    if not setting.startswith("context"):
        given = f"'.', {given}"
    named = f"it_{_id(setting)} = pytest_dockerbin.fixture({given})\n"
    test = f"def test_{_id(setting)}(it_{_id(setting)}):\n    it = it_{_id(setting)}\n"
    return f"{named}{test}{body(setting)}"


def by_ini(setting: str) -> str:
    """Return a test of a setting that the ini file gives."""
    return f"def test_{_id(setting)}(dockerbin):\n    it = dockerbin\n{body(setting)}"


def _id(setting: str) -> str:
    return setting.replace("-", "__")


def ini_lines(setting: str) -> str:
    """Return the lines that give a setting in the ini file."""
    cell = SETTINGS[setting]
    more = cell.more.replace("'", "") if setting in ALONE else ""
    lines = [f"dockerbin_{setting.partition('-')[0]} =", *cell.ini.splitlines()]
    return "\n    ".join(lines) + (f"\ndockerbin_{more}\n" if more else "\n")


WAYS = {"marker": by_marker, "fixture": by_fixture, "factory": by_factory, "ini": by_ini}


@pytest.fixture(scope="module")
def generator(busybox):
    """An image, in the engine, that makes SBOMs."""
    build = ["docker", "buildx", "build", "--load", f"--tag={GENERATOR}", "--file=-", busybox]
    subprocess.run(build, input=GENERATOR_DOCKERFILE, text=True, check=True, capture_output=True)
    yield
    subprocess.run(["docker", "image", "rm", GENERATOR], check=True, capture_output=True)


@pytest.fixture
def laid_out(project, generator, monkeypatch):
    """A project with all that the settings name."""
    path = project.pytester.path
    project.dockerfile(DOCKERFILE)
    project.dockerfile(f"# syntax=docker/dockerfile:1\n{PLAIN}", "syntax.Dockerfile")
    for folder in ("sub", "named"):
        (path / folder).mkdir()
    (path / "sub" / "Dockerfile").write_text(PLAIN)
    project.pytester.run("tar", "-cf", "sub.tar", "-C", "sub", "Dockerfile")
    (path / "named" / "name").write_text("named\n")
    (path / "helpers.py").write_text(HELPERS)
    (path / "docker-bake.hcl").write_text('target "default" { dockerfile = "sub/Dockerfile" }\n')
    (path / ".dockerignore").write_text("*\n!busybox-*\n")
    monkeypatch.setenv("TOKEN", "canary")
    monkeypatch.setenv("PYTHONPATH", str(path))
    monkeypatch.chdir(path)
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind("agent")
        agent.listen()
        yield project


# what BuildKit in an engine with the classic image store does not make, and says so
OF_IMAGES = ("labels", "attests", "provenance", "sbom")
NOT_SUPPORTED = "*build failed for * is not supported for the docker driver*"

WORKS, MESSAGE, NO_KEY = "works", "message", "no key"


def outcomes(
    project, way: str, settings: tuple[str, ...], images: bool, ini: str = ""
) -> dict[str, str]:
    """Run the tests of settings and return their outcomes, all as expected."""
    project.pytester.makeini(f"[pytest]\n{ini}")
    head = "from helpers import *\n\n"
    head += "@pytest.fixture(autouse=True, scope='session')\n"
    head += "def plain(dockerbin_build):\n"
    head += f"    globals()['STEP'] = {PLAIN_STEP if way != 'ini' else 'None'}\n\n"
    tests = "\n\n".join(WAYS[way](setting) for setting in settings)
    project.pytester.makepyfile(f"{head}\n{tests}")
    result = project.run("-v")
    said = result.stdout.str()
    found = dict(re.findall(r"::test_(\w+?)(?:\[\S*\])? (PASSED|FAILED|ERROR|SKIPPED)", said))
    told = {}
    for setting in settings:
        supported = images or setting not in OF_IMAGES
        expected = {"PASSED"} if supported else {"FAILED", "ERROR"}
        assert found.get(_id(setting)) in expected, f"{setting}: {found}\n{said}"
        if not supported:
            result.stdout.fnmatch_lines([NOT_SUPPORTED])
        told[setting] = WORKS if supported else MESSAGE
    return told


PLAIN_STEP = "(dockerbin_build('.') / 'step').read_text().strip()"


@pytest.fixture(scope="module")
def buildx() -> str:
    """The version of buildx: ``0.29``."""
    said = subprocess.check_output(["docker", "buildx", "version"], text=True)
    return re.search(r" v?(\d+\.\d+)", said)[1]


@pytest.fixture(scope="module")
def tried(tables, buildx) -> Table:
    """The outcomes: a table at the end of the run."""
    return tables.setdefault(f"build settings with buildx {buildx}", {})


@pytest.mark.parametrize("way", WAYS)
def test_every_setting_works_however_it_is_given(laid_out, tried, buildx, way, containerd_store):
    if way == "ini":
        given = [name for name, cell in SETTINGS.items() if cell.ini is not None]
        groups = [(name,) for name in given if name in ALONE]
        groups.append(tuple(name for name in given if name not in ALONE))
        told = dict.fromkeys(SETTINGS, NO_KEY)
        for group in groups:
            ini = "".join(map(ini_lines, group))
            told |= outcomes(laid_out, way, group, containerd_store, ini)
    else:
        told = outcomes(laid_out, way, tuple(SETTINGS), containerd_store)
    tried.update({(label(setting), f"{buildx} {way}"): how for setting, how in told.items()})


def label(setting: str) -> str:
    """Return a setting as it stands in tables: "`context` archive"."""
    name, _, kind = setting.partition("-")
    return f"`{name}` {kind}".strip()


def test_no_setting_is_left_out():
    assert {setting.partition("-")[0] for setting in SETTINGS} == set(setting_names())


DOCUMENTED = Path(__file__).parents[2] / "docs" / "reference" / "settings-tried.md"


# the image store that Docker of that time has, which makes images' archives or does not
STORES = {"0.29": "containerd", "0.13": "classic"}


def test_the_table_is_the_documentation_s(tried, buildx, containerd_store):
    """Of the versions that are in it."""
    lines = DOCUMENTED.read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    documented = {
        (row[0], column): cell
        for row in rows[1:]
        for column, cell in zip(rows[0][1:], row[1:], strict=True)
        if column.startswith(f"{buildx} ")
    }
    assert set(SETTINGS) == {row[0].replace("`", "").replace(" ", "-") for row in rows[1:]}
    store = "containerd" if containerd_store else "classic"
    if STORES.get(buildx) != store:
        pytest.skip(f"it has no buildx {buildx} with the {store} image store")
    if len(tried) < len(SETTINGS) * len(WAYS):
        pytest.skip("not all of the table was tried")
    assert documented == tried
