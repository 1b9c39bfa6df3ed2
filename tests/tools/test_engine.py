"""The pure parts of tools/engine; its real work is done by `make engine` on CI."""

from __future__ import annotations

import hashlib
import io
import ipaddress
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

from engine import (  # noqa: E402 - needs the line above
    apt,
    busybox,
    cli,
    daemon,
    docker,
    emulators,
    flavours,
    images,
    network,
    oci,
    processes,
    shell,
    sources,
    status,
    toolsets,
    tree,
)
from engine.errors import EngineError  # noqa: E402
from engine.layout import HOME_VARIABLE, Layout  # noqa: E402
from engine.locks import locked  # noqa: E402

HOME = Path("/srv/engines")

needs_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="engines are started on Linux only"
)


def flavour(name: str, home: Path = HOME) -> flavours.Flavour:
    return flavours.flavour(name, Layout(home=home))


# --- the machine's apt configuration


def test_one_line_sources_are_read_with_their_options():
    text = """
    # deb http://commented.invalid/debian bookworm main
    deb [arch=amd64 signed-by=/k.gpg] http://mirror.invalid/debian bookworm main contrib # why
    deb-src http://mirror.invalid/debian bookworm main
    deb http://mirror.invalid/flat ./
    """
    first, flat = sources.parse_one_line(text)
    assert first == sources.Source(
        uris=("http://mirror.invalid/debian",),
        suites=("bookworm",),
        components=("main", "contrib"),
        signed_by="/k.gpg",
    )
    assert flat.components == ()


def test_deb822_sources_are_read_paragraph_by_paragraph():
    text = """\
# a comment
Types: deb deb-src
URIs: http://one.invalid/debian http://two.invalid/debian
Suites: bookworm bookworm-updates
# a comment inside
Components: main
Signed-By: /k.gpg

Types: deb-src
URIs: http://source.invalid/debian
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://off.invalid/debian
Suites: bookworm
Components: main
"""
    [only] = sources.parse_deb822(text)
    assert only.uris == ("http://one.invalid/debian", "http://two.invalid/debian")
    assert only.suites == ("bookworm", "bookworm-updates")
    assert only.signed_by == "/k.gpg"


def test_a_key_inside_of_a_deb822_source_survives_rendering():
    key = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----"
    text = f"Types: deb\nURIs: http://m.invalid\nSuites: a\nComponents: main\nSigned-By:{key}\n"
    [source] = sources.parse_deb822(text)
    assert sources.Source.render(source, "b", source.signed_by) == (
        f"Types: deb\nURIs: http://m.invalid\nSuites: b\nComponents: main\nSigned-By: {key}\n"
    )


def test_the_archive_of_the_machines_own_release_is_chosen():
    security = sources.Source(
        uris=("http://security.invalid",), suites=("bookworm-security",), components=("main",)
    )
    foreign = sources.Source(uris=("http://x.invalid",), suites=("nodistro",), components=("main",))
    own = sources.Source(
        uris=("http://own.invalid",), suites=("bookworm-updates", "bookworm"), components=("main",)
    )
    assert sources.choose([security, foreign, own], "bookworm").uris == ("http://own.invalid",)


def test_a_machine_configured_by_an_alias_has_an_archive_too():
    source = sources.Source(uris=("http://own.invalid",), suites=("stable",), components=("main",))
    assert sources.choose([source], "bookworm").uris == ("http://own.invalid",)


def test_a_machine_without_an_archive_is_told_where_to_add_one():
    with pytest.raises(EngineError, match=r"names no archive for bookworm main; add it to"):
        sources.choose([], "bookworm")


def test_os_release_is_read_with_and_without_quotes():
    text = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_CODENAME=bookworm\n'
    assert sources.parse_os_release(text)["ID"] == "debian"
    assert sources.parse_os_release(text)["PRETTY_NAME"] == "Debian GNU/Linux 12 (bookworm)"


@pytest.mark.parametrize(
    ("policy", "version"),
    [
        ("docker.io:\n  Installed: (none)\n  Candidate: 28.5.2+dfsg4-5\n", "28.5.2+dfsg4-5"),
        ("docker.io:\n  Installed: (none)\n  Candidate: (none)\n", ""),
        ("", ""),
    ],
)
def test_the_candidate_version_is_read_from_apt_policy(policy, version):
    assert apt.parse_candidate(policy) == version


def test_another_suites_apt_keeps_all_state_in_its_own_folder():
    conf = apt.render_conf(Path("/srv/a"), "arm64")
    assert 'Dir::State::Lists "/srv/a/lists";' in conf
    assert 'Dir::State::status "/srv/a/status";' in conf
    assert 'Dir::Etc::SourceParts "/dev/null";' in conf
    assert 'APT::Architecture "arm64";' in conf
    # Cleared before they could run for packages that are not the machine's.
    assert "#clear APT::Update::Post-Invoke-Success;" in conf


# --- flavours


def test_main_is_where_every_docker_client_looks():
    main = flavour("main")
    assert main.daemon_json()["hosts"] == ["unix:///var/run/docker.sock"]
    assert main.daemon_json()["features"] == {"containerd-snapshotter": True}
    assert "bridge" not in main.daemon_json()
    base = {"PATH": "/bin", "DOCKER_CONTEXT": "mine"}
    assert main.environment(base) == {**base, "DOCKERBIN_TEST_ENGINE": "main"}


def test_the_flavours_share_nothing_so_that_they_run_side_by_side():
    every = [flavour(name) for name in flavours.NAMES]
    for setting in ("data-root", "exec-root", "pidfile", "hosts"):
        assert len({str(each.daemon_json()[setting]) for each in every}) == len(every)
    bridges = {each.bridge for each in every}
    assert len(bridges) == len(every)
    assert all(len(bridge) <= 15 for bridge in bridges)


def test_further_engines_leave_iptables_alone():
    for name in ("floor", "classic"):
        assert flavour(name).daemon_json()["iptables"] is False


def test_state_folders_do_not_share_bridges():
    assert flavour("floor").bridge != flavour("floor", Path("/srv/other")).bridge


def test_classic_runs_the_programs_of_main_with_the_image_store_of_old():
    classic = flavour("classic")
    assert classic.toolset == "main"
    assert classic.daemon_json()["features"] == {"containerd-snapshotter": False}


def test_the_environment_of_a_further_engine_leads_nowhere_else():
    base = {
        "PATH": "/bin",
        "DOCKER_CONTEXT": "mine",
        "DOCKER_HOST": "ssh://elsewhere",
        "DOCKER_TLS_VERIFY": "1",
        "BUILDX_BUILDER": "mine",
        "OTHER": "kept",
    }
    assert flavour("floor").environment(base) == {
        "PATH": "/srv/engines/floor/bin:/bin",
        "DOCKER_HOST": "unix:///srv/engines/floor/docker.sock",
        "DOCKER_CONFIG": "/srv/engines/floor/config",
        "DOCKERBIN_TEST_ENGINE": "floor",
        "OTHER": "kept",
    }


def test_a_state_folder_too_deep_for_unix_sockets_is_refused():
    with pytest.raises(EngineError, match="too long for a Unix socket; choose a shorter"):
        flavour("floor", Path("/", "deep" * 30)).daemon_json()


def test_an_unknown_flavour_is_answered_with_the_known_ones():
    with pytest.raises(EngineError, match=r"'new'; choose one of main, floor, classic"):
        flavour("new")


def test_the_state_folder_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(HOME_VARIABLE, "state")
    assert Layout.from_environment().home == tmp_path / "state"
    monkeypatch.delenv(HOME_VARIABLE)
    assert Layout.from_environment().home.is_absolute()


# --- what docker says


@pytest.mark.parametrize(
    ("version", "number"),
    [("28.5.2+dfsg4", 28), ("1:26.1.5", 26), ("v0.29.1", 0), ("20.10.24+dfsg1-1", 20), ("", 0)],
)
def test_the_major_version_of_engines_and_packages(version, number):
    assert docker.major(version) == number


def version_json(version: str, product: str = "Engine") -> str:
    server = {"Version": version, "Components": [{"Name": product, "Version": version}]}
    return json.dumps({"Client": {}, "Server": server})


def test_an_engine_with_buildx_is_enough():
    buildx = "github.com/docker/buildx 0.29.1+ds1 0.29.1+ds1-4\n"
    answer = docker.read_answer(version_json("28.5.2"), buildx)
    assert (answer.engine, answer.buildx, answer.is_enough) == ("28.5.2", "0.29.1+ds1", True)


def test_buildx_of_docker_itself_has_a_v_before_its_version():
    answer = docker.read_answer(version_json("28.5.2"), "github.com/docker/buildx v0.30.0 abc\n")
    assert answer.buildx == "0.30.0"


@pytest.mark.parametrize(
    ("version", "buildx"),
    [
        (version_json("28.5.2"), ""),
        (version_json("20.10.24"), "buildx 0.29.1"),
        (version_json("5.4.0", "Podman Engine"), "buildx 0.29.1"),
        (json.dumps({"Client": {}, "Server": None}), "buildx 0.29.1"),
        ("", "buildx 0.29.1"),
    ],
    ids=["no-buildx", "too-old", "podman", "no-engine", "no-docker"],
)
def test_less_than_an_engine_with_buildkit_and_buildx_is_not_enough(version, buildx):
    assert not docker.read_answer(version, buildx).is_enough


def test_the_complaint_is_the_last_line_that_docker_said():
    said = "WARNING: x\nCannot connect to the Docker daemon at y. Is the docker daemon running?\n"
    assert docker.read_answer("", "", said).complaint == "Cannot connect to the Docker daemon at y"


@pytest.mark.parametrize(
    ("info", "store"),
    [
        (
            {
                "Driver": "overlayfs",
                "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
            },
            "containerd",
        ),
        ({"Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]]}, "overlay2"),
        ({"Driver": "vfs", "DriverStatus": None}, "vfs"),
    ],
)
def test_the_image_store_is_told_from_docker_info(info, store):
    assert docker.read_store(json.dumps(info)) == store


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        (
            "/x/runc: /lib/libc.so.6: version `GLIBC_2.38' not found (required by /x/runc)\n",
            "version `GLIBC_2.38' not found",
        ),
        (
            "dockerd: error while loading libsystemd.so.0: cannot open shared object file: x\n",
            "libsystemd.so.0: cannot open shared object file",
        ),
        ("panic", ""),
    ],
)
def test_a_program_too_new_for_the_machine_says_what_it_misses(said, missing):
    assert toolsets.missing_library(said) == missing


# --- whose process, whose mount

CONFIG = f"{HOME}/main/daemon.json"


@pytest.mark.parametrize(
    "arguments",
    [
        ["/x/sets/main/usr/sbin/dockerd", "--config-file", CONFIG],
        ["containerd", "--config", f"{HOME}/main/exec/containerd/containerd.toml"],
        ["/x/containerd-shim-runc-v2", "-address", f"{HOME}/main/exec/containerd/containerd.sock"],
        ["runc", f"--log={HOME}/main/data/buildkit/executor/runc-log.json", "run"],
    ],
)
def test_an_engines_parts_are_known_by_program_and_folder(arguments):
    assert processes.belongs(arguments, HOME / "main")
    assert not processes.belongs(arguments, HOME / "floor")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["tail", "-f", f"{HOME}/main/dockerd.log"],
        ["vim", CONFIG],
        ["dockerd", "--config-file", "/etc/docker/daemon.json"],
        ["dockerd", "--config-file", f"{HOME}/main-other/daemon.json"],
        ["containerd", "--config", "/var/run/docker/containerd/containerd.toml"],
    ],
)
def test_nothing_else_is_taken_for_a_part_of_our_engine(arguments):
    assert not processes.belongs(arguments, HOME / "main")


def test_only_dockerd_makes_an_engine():
    containerd = ["containerd", "--config", f"{HOME}/main/exec/containerd/containerd.toml"]
    assert not processes.belongs(containerd, HOME / "main", daemon_only=True)


MOUNTS = f"""\
24 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 24 254:0 /srv/engines/main/data {HOME}/main/data rw shared:1 - ext4 /dev/vda rw
31 30 0:40 / {HOME}/main/data/a\\040b rw - overlay overlay rw,upperdir=/x
32 24 0:41 / {HOME}/main2/data rw - overlay overlay rw
"""


def test_mounts_below_a_folder_are_listed_last_made_first():
    assert processes.mounts_below(MOUNTS, HOME / "main") == [
        f"{HOME}/main/data/a b",
        f"{HOME}/main/data",
    ]


def test_a_build_step_is_known_by_where_its_root_is_kept():
    step = (
        f"400 399 0:50 / / rw - overlay overlay rw,lowerdir=/l,upperdir={HOME}/main/data/b/1/fs\n"
    )
    assert processes.root_is_below(step, HOME / "main")
    assert not processes.root_is_below(step, HOME / "floor")
    assert not processes.root_is_below(MOUNTS, HOME / "main")


@needs_linux
def test_ending_an_engine_leaves_processes_of_others_alone(tmp_path):
    bystander = subprocess.Popen(["sleep", "60"], cwd=tmp_path)
    try:
        assert processes.end(tmp_path / "main", patience=1) is False
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@needs_linux
def test_an_engine_that_was_started_by_us_is_ended(tmp_path):
    # Python under dockerd's name; not a shell, whose children look like it before they exec.
    program = tmp_path / "dockerd"
    program.symlink_to(sys.executable)
    folder = tmp_path / "main"
    sleeping = "import time; time.sleep(600)"
    fake = subprocess.Popen([program, "-I", "-S", "-c", sleeping, folder / "daemon.json"])
    try:
        # For a moment after its start a process has no command line.
        while not processes.command_line(fake.pid):
            assert fake.poll() is None
        assert processes.daemons(folder) == [fake.pid]
        assert processes.end(folder, patience=10) is True
        assert fake.wait(timeout=10) != 0
        assert processes.daemons(folder) == []
    finally:
        fake.kill()
        fake.wait()


# --- emulators


def test_handlers_get_the_flags_that_containers_need():
    line = r":qemu-arm:M::\x7fELF:\xff\xff:/usr/bin/qemu-arm:PC"
    assert emulators.with_flags(line) == r":qemu-arm:M::\x7fELF:\xff\xff:/usr/bin/qemu-arm:CFOP"


def test_handler_files_are_read_without_comments():
    text = "# c\n\n:qemu-arm:M::m:k:/q:\n"
    assert emulators.parse_handlers(text) == [("qemu-arm", ":qemu-arm:M::m:k:/q:FOP")]


# --- network


def test_networks_in_use_are_read_from_the_routing_table():
    table = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    )
    assert network.parse_networks(table) == [ipaddress.IPv4Network("172.17.0.0/16")]


def test_a_bridge_gets_a_network_that_overlaps_none():
    used = [ipaddress.IPv4Network("10.231.0.0/23"), ipaddress.IPv4Network("10.231.2.128/25")]
    assert network.free_network(used) == ipaddress.IPv4Network("10.231.3.0/24")


def test_a_machine_that_uses_every_network_is_told_so():
    with pytest.raises(EngineError, match="no private network is free"):
        network.free_network([ipaddress.IPv4Network("10.0.0.0/8")])


# --- images


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("./usr/bin/rustc", "usr/bin/rustc"),
        ("./bin/sh", "usr/bin/sh"),
        ("./lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6"),
        ("./library/x", "library/x"),
        ("./usr/share/documents", "usr/share/documents"),
    ],
)
def test_files_of_packages_go_into_one_merged_tree(name, place):
    assert str(tree.placed(name)) == place


@pytest.mark.parametrize("name", ["./", "./bin", "./lib/", "./usr/share/doc/gcc/changelog.gz"])
def test_folders_of_old_and_documentation_are_left_out(name):
    assert tree.placed(name) is None


def write_layout(folder: Path) -> tuple[str, bytes]:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    variants = []
    for architecture in ("amd64", "arm"):
        with oci.BlobWriter(folder) as blob:
            blob.write(data.getvalue())
        layer = oci.layer_descriptor(blob)
        variants.append(oci.Variant(architecture=architecture, layer=layer))
    return oci.write_layout(folder, "docker.io/library/x:tag", variants), data.getvalue()


def test_every_blob_of_a_layout_is_named_after_its_checksum(tmp_path):
    write_layout(tmp_path)
    blobs = list((tmp_path / "blobs" / "sha256").iterdir())
    # One layer that both platforms share, two configs, two manifests, the index.
    assert len(blobs) == 6
    for blob in blobs:
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name


def test_a_layout_names_the_image_for_docker_load_and_for_build_contexts(tmp_path):
    digest, _ = write_layout(tmp_path)
    assert oci.digest(tmp_path) == digest
    [image] = json.loads((tmp_path / "index.json").read_text())["manifests"]
    assert image["annotations"] == {
        "io.containerd.image.name": "docker.io/library/x:tag",
        "org.opencontainers.image.ref.name": "tag",
    }
    index = json.loads((tmp_path / "blobs/sha256" / digest.removeprefix("sha256:")).read_text())
    assert [manifest["platform"] for manifest in index["manifests"]] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm", "os": "linux", "variant": "v7"},
    ]


def test_the_same_contents_make_the_same_image(tmp_path):
    assert write_layout(tmp_path / "a") == write_layout(tmp_path / "b")


def test_a_blob_whose_writing_failed_leaves_nothing(tmp_path):
    def fail() -> None:
        with oci.BlobWriter(tmp_path) as blob:
            blob.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list((tmp_path / "blobs" / "sha256").iterdir()) == []


def test_a_layout_streams_as_docker_load_reads_it(tmp_path):
    write_layout(tmp_path)
    (tmp_path / "recipe").write_text("not a part of the image")
    data = io.BytesIO()
    oci.stream(tmp_path, data)
    data.seek(0)
    with tarfile.open(fileobj=data) as tar:
        names = tar.getnames()
    assert names[:2] == ["oci-layout", "index.json"]
    assert "recipe" not in names


def test_no_layout_has_no_digest(tmp_path):
    assert oci.digest(tmp_path) == ""


def test_a_changed_recipe_makes_a_kept_image_out_of_date():
    one = images.Recipe(packages=("rustc",), architectures=("amd64",))
    other = images.Recipe(packages=("rustc", "gcc"), architectures=("amd64",))
    assert one.fingerprint != other.fingerprint
    assert (
        one.fingerprint == images.Recipe(packages=("rustc",), architectures=("amd64",)).fingerprint
    )


def test_an_image_without_a_recipe_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(EngineError, match=r"no recipe for x:1; there is one for rust:alpine"):
        images.images(["x:1"], Layout(home=tmp_path))


# --- busybox


def test_an_unknown_architecture_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(EngineError, match=r"no busybox for 'x86_64'; choose among amd64, arm64"):
        busybox.busybox(tmp_path, ["x86_64"], Layout(home=tmp_path))


def test_busybox_files_come_from_the_cache_when_they_are_there(tmp_path):
    layout = Layout(home=tmp_path / "home")
    layout.busybox.mkdir(parents=True)
    (layout.busybox / "busybox-arm").write_bytes(b"ELF")
    (layout.busybox / "busybox-arm").chmod(0o755)
    for _ in range(2):
        busybox.busybox(tmp_path / "context", ["arm"], layout)
    file = tmp_path / "context" / "busybox-arm"
    assert file.read_bytes() == b"ELF"
    assert os.access(file, os.X_OK)
    assert list(file.parent.iterdir()) == [file]


# --- the command line and its messages


def test_an_error_says_its_cure_on_the_same_line():
    assert str(EngineError("it failed", "do this")) == "it failed; do this"
    assert str(EngineError("it failed")) == "it failed"


def test_a_cure_of_several_lines_stands_below():
    assert str(EngineError("it failed", "do this\nand this")) == "it failed:\ndo this\nand this"


def test_a_missing_program_and_a_late_one_end_as_in_a_shell():
    assert shell.run(["/nonexistent/program"], check=False).returncode == 127
    assert shell.run(["sleep", "60"], timeout=0.1, check=False).returncode == 124


def test_a_failed_apt_says_its_first_error():
    said = "W: a warning\nE: Failed to fetch x\nE: Some index files failed to download.\n"
    done = subprocess.CompletedProcess([], 100, "", said)
    assert shell.why(done) == "Failed to fetch x"


def test_the_end_of_a_log_is_told_without_its_chatter(tmp_path):
    log = tmp_path / "log"
    log.write_text("level=error msg=old\nlevel=info msg=starting\nlevel=error msg=why\n")
    began = len("level=error msg=old\n")
    assert daemon.last_lines(log, began) == ["level=error msg=why"]


def test_nobody_answers_at_a_socket_that_is_not_there(tmp_path):
    assert not daemon.answers(tmp_path / "docker.sock")


def test_the_status_table_is_aligned_and_shows_gaps():
    rows = [
        status.Row(flavour="main", running="ours", engine="28.5.2"),
        status.Row(flavour="classic", running="no"),
    ]
    assert status.table(rows) == (
        "flavour  running  engine  buildx  store  socket\n"
        "main     ours     28.5.2  -       -      -\n"
        "classic  no       -       -       -      -"
    )


def test_a_lock_is_free_again_after_its_holder(tmp_path):
    for _ in range(2):
        with locked(tmp_path / "deep" / "lock"):
            pass


def test_a_lock_that_stays_taken_is_an_error_that_names_it(tmp_path, capsys):
    with (
        locked(tmp_path / "lock"),
        pytest.raises(EngineError, match=r"another run has held .*lock"),
        locked(tmp_path / "lock", timeout=0.1),
    ):
        pass
    assert "waiting for another run" in capsys.readouterr().out


def test_the_command_of_exec_keeps_its_own_options():
    options = cli.parser().parse_args(["exec", "floor", "--", "docker", "--debug", "-h"])
    assert options.arguments[-3:] == ["docker", "--debug", "-h"]


def test_exec_without_a_command_says_how(capsys):
    assert cli.main(["exec", "floor", "--"]) == 1
    assert "exec needs a command; exec floor -- COMMAND ARG..." in capsys.readouterr().err


def test_the_folder_runs_from_anywhere(tmp_path):
    command = [sys.executable, TOOLS / "engine", "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: python3 tools/engine")


def test_the_tool_knows_no_mirror_but_the_machines_own():
    text = "".join(file.read_text() for file in (TOOLS / "engine").glob("*.py"))
    assert set(re.findall(r"\w+://[\w.-]+\.[\w.-]+", text)) == {"https://docs.docker.com"}
