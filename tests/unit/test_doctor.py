"""``python -m pytest_dockerbin doctor``: on machines that lack this or that."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from elf import ARM64, elf, header

from pytest_dockerbin.__main__ import main
from pytest_dockerbin.buildx import inventory
from pytest_dockerbin.doctor import command, examination
from pytest_dockerbin.doctor.examination import examine, read_words
from pytest_dockerbin.doctor.findings import find
from pytest_dockerbin.doctor.report import as_lines
from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runners.tiny import tiny_program

HOST = str(Platform.host())
ENGINE = "API 1.51, linux/amd64, containerd image store"
VERSION = {
    "Client": {"Version": "28.2.2", "Context": "colima"},
    "Server": {"Version": "28.5.2", "ApiVersion": "1.51", "Os": "linux", "Arch": "amd64"},
}
INSPECTED = f"""\
Name:          mine
Driver:        docker-container
Last Activity: 2026-11-23 23:38:36 +0000 UTC

Nodes:
Name:                  mine0
Endpoint:              unix:///var/run/docker.sock
Status:                running
BuildKit version:      v0.25.1
Platforms:             {HOST}*, linux/mips64
"""

# it answers what lies in the folder beside it, and builds for all platforms but those refused
DOCKER = """\
#!/bin/sh
PATH=/usr/bin:/bin
here=$(dirname "$0")/../docker
echo "$*" >> "$here/calls"
if [ "$1 $2" = "buildx build" ]; then
    for word; do
        case "$word" in
            --platform=*) platform=${word#--platform=} ;;
            --output=*) dest=${word##*dest=} ;;
        esac
    done
    if [ -e "$here/refuses" ] && grep -qx "$platform" "$here/refuses"; then
        cat "$here/refusal"
        exit 1
    fi
    mkdir "$dest" && echo built > "$dest/probe"
    exit 0
fi
case "$1 $2" in "buildx "*) name=buildx-$2 ;; *) name=$1 ;; esac
cat "$here/$name" 2> /dev/null
cat "$here/$name.err" >&2 2> /dev/null && exit 1
exit 0
"""
NO_EMULATOR = "\n".join(
    json.dumps(event)
    for event in (
        {"vertexes": [{"digest": "sha256:1", "name": '[2/2] RUN ["/probe"]'}]},
        {
            "logs": [
                {
                    "vertex": "sha256:1",
                    "stream": 2,
                    "data": "ZXhlYyAvcHJvYmU6IGV4ZWMgZm9ybWF0IGVycm9yCg==",
                    "timestamp": "2026-11-23T00:00:00Z",
                }
            ]
        },
        {
            "vertexes": [
                {
                    "digest": "sha256:1",
                    "name": '[2/2] RUN ["/probe"]',
                    "error": 'process "/probe" did not complete successfully: exit code: 255',
                }
            ]
        },
    )
)


@pytest.fixture(autouse=True)
def own_environment(tmp_path, monkeypatch):
    """No test may see the cache folder, the docker or the terminal of whoever runs it."""
    for name in ("BUILDX_BUILDER", "DOCKER_HOST", "DOCKER_CONTEXT", "PYTEST_DOCKERBIN_RUNNER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DOCKERBIN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    monkeypatch.setenv("PATH", str(bin_folder))
    monkeypatch.setattr(command, "examine", lambda *a, **k: examine(*a, **k, binfmt_folder=none))
    none = tmp_path / "no-binfmt"


@pytest.fixture
def docker(tmp_path):
    """A docker command; its answers are files in this folder, the errors ``NAME.err``."""
    answers = tmp_path / "docker"
    answers.mkdir()
    (answers / "version").write_text(json.dumps(VERSION))
    (answers / "info").write_text('[["driver-type","io.containerd.snapshotter.v1"]]')
    (answers / "context").write_text("unix:///colima/docker.sock\n")
    (answers / "buildx-version").write_text("github.com/docker/buildx v0.29.1 0ae1a2b\n")
    (answers / "buildx-inspect").write_text(INSPECTED)
    (tmp_path / "bin" / "docker").write_text(DOCKER)
    (tmp_path / "bin" / "docker").chmod(0o755)
    return answers


@pytest.fixture
def binfmt(tmp_path):
    """A folder as binfmt_misc has it, with a handler for arm64 that is switched off."""
    folder = tmp_path / "binfmt_misc"
    folder.mkdir()
    (folder / "status").write_text("enabled\n")
    write_handler(folder, "qemu-arm64")
    return folder


def write_handler(folder, name, *, state="disabled", flags="POF", interpreter="/nowhere/qemu"):
    start = header(ARM64, 2, 64, "<")[:20].hex()
    (folder / name).write_text(
        f"{state}\ninterpreter {interpreter}\nflags: {flags}\noffset 0\nmagic {start}\nmask ff\n"
    )


@pytest.fixture
def run(capsys):
    """Run the command; return its exit code, what it says, and what it complains of."""

    def run(*words):
        try:
            code = main(("doctor", *words))
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def ask(run):
    """Run the command with --json; return its exit code and what it says."""

    def ask(*words):
        code, out, err = run(*words, "--json")
        assert err == ""
        return code, json.loads(out)

    return ask


def calls(docker, *beginning):
    lines = (docker / "calls").read_text().splitlines() if (docker / "calls").exists() else []
    return [line for line in lines if line.startswith(" ".join(beginning))]


def problems(data):
    return [problem["problem"] for problem in data["problems"]]


# -- a machine on which all is well ----------------------------------------------------------------


def test_everything_is_in_the_json(ask, docker, tmp_path):
    code, data = ask("native")
    assert code == 0
    assert data.pop("host")["platform"] == HOST
    assert data == {
        "ok": True,
        "docker": {
            "command": str(tmp_path / "bin" / "docker"),
            "version": "28.2.2",
            "buildx": "0.29.1",
        },
        "engine": {
            "context": "colima",
            "address": "unix:///colima/docker.sock",
            "version": "28.5.2",
            "api": "1.51",
            "platform": "linux/amd64",
            "image_store": "containerd",
        },
        "builder": {
            "name": "mine",
            "driver": "docker-container",
            "platforms": [HOST, "linux/mips64"],
        },
        "binfmt": {"enabled": None, "handlers": []},
        "cache": {"path": str(tmp_path / "cache"), "error": None, "noexec": False, "size": 0},
        "platforms": [
            {
                "platform": HOST,
                "requested": True,
                "build": True,
                "build_error": None,
                "inspect": True,
                "run": True,
                "run_error": None,
                "runner": "native",
                "emulated": False,
                "version": None,
            }
        ],
        "problems": [],
    }


def test_a_person_sees_it_at_a_glance(run, docker, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    code, out, err = run("native")
    assert (code, err) == (0, "")
    host, *lines = out.replace(str(tmp_path), "TMP").splitlines()
    assert host.startswith(f"host     {HOST}, ")
    assert lines == [
        "docker   28.2.2, TMP/bin/docker",
        "buildx   0.29.1",
        f"engine   28.5.2, {ENGINE}, unix:///colima/docker.sock, context colima",
        f"builder  mine, driver docker-container, builds {HOST} linux/mips64",
        "cache    TMP/cache, usable, holds 0 B",
        "",
        "PLATFORM     BUILD  INSPECT  RUN  RUNNER  EMULATED",
        f"{HOST:11}  yes    yes      yes  native  no",
        "",
        "no binfmt_misc at TMP/no-binfmt",
        "",
        "no problems",
    ]


def test_a_build_of_a_platform_that_is_asked_for_is_tried_once(ask, docker):
    """Of others the builder's list is believed."""
    ask()
    assert len(calls(docker, "buildx", "build")) == 1
    assert f"--platform={HOST}" in calls(docker, "buildx", "build")[0]


def test_without_platforms_all_are_shown_and_the_native_one_decides(ask, docker):
    code, data = ask()
    shown = {each["platform"]: each for each in data["platforms"]}
    assert code == 0
    assert [each["requested"] for each in data["platforms"]] == [True, False]
    assert shown["linux/mips64"]["build"] is True
    assert shown["linux/mips64"]["run"] is False
    code, data = ask("linux/mips64")
    assert (code, data["ok"], len(data["platforms"])) == (1, False, 1)


def test_auto_is_what_can_be_built_and_run(ask, docker):
    code, data = ask("auto")
    assert (code, [each["platform"] for each in data["platforms"]]) == (0, [HOST])


def test_nothing_is_left_in_the_cache_folder(ask, docker, tmp_path):
    ask("native", "linux/mips64")
    assert list((tmp_path / "cache" / "v1" / "sessions").iterdir()) == []
    assert ask("native")[1]["cache"]["size"] < 1000


def test_the_builder_that_is_named_is_asked_and_builds(ask, docker):
    ask("native", "--builder", "mine")
    assert set(calls(docker, "buildx", "inspect")) == {"buildx inspect -- mine"}
    (build,) = calls(docker, "buildx", "build")
    assert " --builder=mine " in build


def test_the_classic_image_store_is_told(ask, docker):
    (docker / "info").write_text('[["Backing Filesystem","extfs"]]')
    assert ask()[1]["engine"]["image_store"] == "classic"


# -- words -----------------------------------------------------------------------------------------


def test_platforms_are_named_as_in_lists():
    arm64, amd64 = Platform.parse("linux/arm64"), Platform.parse("linux/amd64")
    assert read_words(["aarch64, linux/amd64", "native"]) == (arm64, amd64, Platform.host())
    assert read_words(["auto"]) == (None,)
    with pytest.raises(SettingsError, match="unknown platform ''"):
        read_words(["linux/arm64,"])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["linux/arm46"], ": unknown platform 'linux/arm46'; did you mean 'linux/arm64'?"),
        (["--jsn"], ": unrecognized arguments: --jsn"),
    ],
)
def test_what_is_not_understood_is_one_line_and_asks_docker_nothing(run, docker, words, complaint):
    assert run(*words) == (2, "", f"python -m pytest_dockerbin{complaint}\n")
    assert calls(docker) == []


# -- parts that are missing ------------------------------------------------------------------------


def test_without_docker_the_rest_is_told(ask):
    code, data = ask()
    assert code == 1
    assert problems(data) == ["the docker command is not on PATH"]
    assert data["problems"][0]["cure"].startswith("install Docker Engine with buildx")
    assert set(data["docker"].values()) | set(data["engine"].values()) == {None}
    assert [(each["build"], each["run"]) for each in data["platforms"]] == [(False, True)]


def test_a_docker_that_is_no_program_is_told(ask, docker, tmp_path):
    (tmp_path / "bin" / "docker").write_bytes(b"\x7fELF")
    code, data = ask()
    assert code == 1
    assert [text.partition(" (")[0] for text in problems(data)] == [
        "the Docker daemon does not answer",
        "docker has no buildx plugin",
    ]
    assert "Exec format error" in problems(data)[0]


def test_without_buildx(ask, docker):
    (docker / "buildx-version.err").write_text("docker: unknown command: docker buildx\n")
    code, data = ask()
    assert code == 1
    assert problems(data) == [
        "docker has no buildx plugin (docker: unknown command: docker buildx)"
    ]
    assert "apt-get install docker-buildx" in data["problems"][0]["cure"]
    assert data["engine"]["version"] == "28.5.2"
    assert calls(docker, "buildx", "build") == calls(docker, "buildx", "inspect") == []


def test_without_a_daemon_it_is_said_once(ask, docker):
    said = "Cannot connect to the Docker daemon at unix:///colima/docker.sock."
    (docker / "version").write_text(json.dumps({**VERSION, "Server": None}))
    (docker / "version.err").write_text(f"{said}\nand more\n")
    (docker / "buildx-inspect").write_text(f"Name:   default\nDriver: \nError:  {said}\n")
    code, data = ask()
    assert code == 1
    assert problems(data) == [f"the Docker daemon does not answer ({said})"]
    assert "systemctl start docker" in data["problems"][0]["cure"]
    assert data["docker"]["version"] == "28.2.2"
    assert data["engine"]["address"] == "unix:///colima/docker.sock"
    assert data["engine"]["version"] is None
    assert data["builder"] == {"name": "default", "driver": None, "platforms": []}
    assert calls(docker, "buildx", "build") == []


def test_a_builder_elsewhere_builds_without_a_daemon_here(ask, docker):
    (docker / "version.err").write_text("Cannot connect\n")
    code, data = ask("native")
    assert (code, problems(data)) == (0, ["the Docker daemon does not answer (Cannot connect)"])


def test_a_docker_that_hangs_is_given_up(ask, docker, tmp_path, monkeypatch):
    monkeypatch.setattr(inventory, "_PATIENCE", 0.2)
    (tmp_path / "bin" / "docker").write_text("#!/bin/sh\n/bin/sleep 3600\nexit\n")
    code, data = ask()
    assert code == 1
    assert "the Docker daemon does not answer (no answer within 0 s)" in problems(data)


def test_an_unknown_builder(ask, docker, monkeypatch):
    (docker / "buildx-inspect").unlink()
    (docker / "buildx-inspect.err").write_text('ERROR: no builder "typo" found\n')
    monkeypatch.setenv("BUILDX_BUILDER", "typo")
    code, data = ask()
    assert code == 1
    assert data["builder"]["name"] == "typo"
    assert problems(data) == ["the builder 'typo' can't be used (no builder \"typo\" found)"]
    assert "docker buildx ls" in data["problems"][0]["cure"]


def test_a_builder_whose_engine_can_t_be_reached(ask, docker):
    (docker / "buildx-inspect").write_text("Name: far\nDriver: \nError: no route to tcp://far\n")
    code, data = ask("--builder=far")
    assert code == 1
    assert data["problems"] == [
        {
            "problem": "the builder 'far' does not answer (no route to tcp://far)",
            "cure": "see that its machine and its engine are up: docker buildx inspect far",
        }
    ]


def test_a_builder_that_is_not_running(ask, docker):
    (docker / "buildx-inspect").write_text(
        "Name:   mine\nDriver: docker-container\n\nNodes:\nName: mine0\nStatus: inactive\n"
    )
    code, data = ask()
    assert code == 1
    assert data["problems"] == [
        {
            "problem": "the builder 'mine' lists no platforms (inactive)",
            "cure": "start it: docker buildx inspect --bootstrap mine",
        }
    ]
    assert calls(docker, "buildx", "build") == []


@pytest.mark.parametrize("said", ["", "Docker?", "[]", '{"Client": "none"}', '{"Server": {}}'])
def test_a_docker_of_another_make_is_survived(ask, docker, said):
    for name in ("version", "info", "context", "buildx-version", "buildx-inspect"):
        (docker / name).write_text(said)
    code, data = ask()
    assert (code, data["engine"]["version"], data["builder"]["platforms"]) == (1, None, [])


# -- the cache folder ------------------------------------------------------------------------------


def test_a_cache_folder_that_cannot_be_used_is_told(run, ask, docker, tmp_path):
    """Sessions use a temporary folder then, so it is no reason for the exit code."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "thesis").write_text("mine")
    code, data = ask("native")
    assert code == 0
    assert data["cache"]["error"].startswith("the cache folder '")
    assert problems(data) == [data["cache"]["error"]]
    assert data["problems"][0]["cure"] == "name another: --dockerbin-cache-dir=DIR"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["thesis"]
    assert "cache, not usable, holds" in " ".join(run()[1].split())


def test_the_option_names_another_cache_folder(ask, docker, tmp_path):
    _, data = ask("--cache-dir", str(tmp_path / "other"))
    assert data["cache"]["path"] == str(tmp_path / "other")
    assert not (tmp_path / "cache").exists()


# -- emulators -------------------------------------------------------------------------------------


def no_emulator_in_the_builder(docker, *platforms):
    (docker / "refuses").write_text("".join(f"{platform}\n" for platform in platforms))
    (docker / "refusal").write_text(NO_EMULATOR)


def test_a_builder_without_the_emulator_of_a_platform_that_runs_here(ask, docker):
    """The host's own stands for it: what matters is that it runs, and builds fail."""
    (docker / "buildx-inspect").write_text(INSPECTED.replace(f"{HOST}*, ", ""))
    no_emulator_in_the_builder(docker, HOST)
    code, data = ask("native")
    assert code == 1
    architecture = Platform.host().architecture
    assert problems(data) == [
        f"the builder 'mine' can't run {HOST} steps, although this host runs such programs"
    ]
    assert f"tonistiigi/binfmt --install {architecture};" in data["problems"][0]["cure"]
    (ability,) = data["platforms"]
    assert (ability["build"], ability["run"]) == (False, True)
    assert "exec format error" in ability["build_error"]


def test_an_emulator_that_is_switched_off_is_switched_on_for_the_builder(tmp_path, docker, binfmt):
    """The host's own architecture stands for one that runs here by other means."""
    (docker / "buildx-inspect").write_text(INSPECTED.replace(f"{HOST}*, ", ""))
    no_emulator_in_the_builder(docker, HOST)
    start = tiny_program(Platform.host(), 0)[:20].hex()
    text = f"disabled\ninterpreter /bin/sh\nflags: F\noffset 0\nmagic {start}\n"
    (binfmt / "qemu-host").write_text(text)
    found = examine([Platform.host()], cache_root=tmp_path / "cache", binfmt_folder=binfmt)
    (finding,) = find(found)
    assert finding.problem.startswith(f"the builder can't run {HOST} steps: exec format error in ")
    assert finding.cure == f"switch its emulator on: echo 1 > {binfmt / 'qemu-host'}"


def test_a_builder_may_do_what_it_does_not_list(ask, docker):
    (docker / "buildx-inspect").write_text(INSPECTED.replace(f"{HOST}*, ", ""))
    code, data = ask("native")
    assert (code, problems(data)) == (0, [])


def test_a_build_that_fails_for_another_reason_says_so(ask, docker):
    (docker / "refuses").write_text(f"{HOST}\n")
    (docker / "refusal").write_text("ERROR: failed to solve: no space left on device\n")
    code, data = ask("native")
    assert code == 1
    assert problems(data) == [f"build failed for {HOST}: no space left on device"]
    assert "docker buildx prune" in data["problems"][0]["cure"]


def examined(tmp_path, binfmt, *platforms):
    """Return the findings for platforms on a machine with these handlers and no docker."""
    asked = [Platform.parse(platform) for platform in platforms]
    found = examine(asked, cache_root=tmp_path / "cache", binfmt_folder=binfmt)
    return found, {finding.problem: finding.cure for finding in find(found)[1:]}


def test_platforms_that_nothing_runs_share_a_line(tmp_path, binfmt):
    _, found = examined(tmp_path, binfmt, "linux/mips64", "linux/ppc64", "freebsd/arm64")
    (linux, freebsd) = found
    assert linux == "linux/mips64, linux/ppc64 programs can't be run on this host"
    assert freebsd.startswith("freebsd/arm64 programs can't be run on this host: ")
    assert "tonistiigi/binfmt --install mips64,ppc64, or apt-get " in found[linux]
    assert found[freebsd] is None
    _, alone = examined(tmp_path, binfmt, "linux/mips64")
    ((problem, cure),) = alone.items()
    assert problem.startswith("linux/mips64 programs can't be run on this host: binfmt: ")
    assert "--install mips64, or apt-get " in cure


def test_the_runner_that_the_environment_names_is_asked(run, ask, docker, monkeypatch):
    monkeypatch.setenv("PYTEST_DOCKERBIN_RUNNER", f"{HOST}=none")
    code, data = ask("native")
    assert (code, data["platforms"][0]["run"]) == (1, False)
    assert problems(data) == [f"{HOST} programs are not run here: their runner is 'none'"]
    monkeypatch.setenv("PYTEST_DOCKERBIN_RUNNER", "natve")
    complaint = "PYTEST_DOCKERBIN_RUNNER: unknown runner 'natve'; did you mean 'native'?"
    assert run("native") == (2, "", f"python -m pytest_dockerbin: {complaint}\n")


def test_levels_of_the_host_s_own_processor_are_no_problem_unless_asked_for(
    ask, docker, monkeypatch
):
    level = {"amd64": "linux/amd64/v2", "arm64": "linux/arm64/v9"}[Platform.host().architecture]
    (docker / "buildx-inspect").write_text(INSPECTED.replace("linux/mips64", level))
    monkeypatch.setenv("PYTEST_DOCKERBIN_RUNNER", f"{level}=none")
    code, data = ask()
    assert (code, problems(data)) == (0, [])
    assert [each["run"] for each in data["platforms"]] == [True, False]
    code, data = ask(level)
    assert (code, problems(data)) == (
        1,
        [f"{level} programs are not run here: their runner is 'none'"],
    )


def test_an_emulator_that_is_switched_off_is_switched_on(tmp_path, binfmt):
    """Whether arm64 runs here or not is this machine's; mips64 can't be tried at all."""
    start = header(8, 2, 64, ">")[:20].hex()
    text = f"disabled\ninterpreter /bin/sh\nflags: F\noffset 0\nmagic {start}\n"
    (binfmt / "qemu-mips64").write_text(text)
    _, found = examined(tmp_path, binfmt, "linux/mips64")
    assert list(found.values()) == [
        f"switch its emulator on: echo 1 > {binfmt / 'qemu-mips64'}",
    ]


def test_handlers_that_containers_cannot_use_are_named(tmp_path, binfmt):
    for name in ("a", "b"):
        write_handler(binfmt, name, state="enabled", flags="PO", interpreter="/bin/sh")
    _, found = examined(tmp_path, binfmt, HOST)
    (problem, cure), shadowed = found.items()
    assert problem.startswith("containers can't use the handlers a, b: without the flag F ")
    assert shadowed == (
        "the handlers a, b are all for arm64: the kernel starts the one that was registered last",
        f"unregister those that you do not mean: echo -1 > {binfmt / 'a'}",
    )
    assert cure == (
        f"register again: apt-get install qemu-user-static, or echo -1 > {binfmt / 'a'} && "
        f"echo -1 > {binfmt / 'b'} && docker run --privileged --rm tonistiigi/binfmt "
        "--install arm64"
    )


def test_an_interpreter_that_is_gone_matters_without_the_flag_f(tmp_path, binfmt):
    write_handler(binfmt, "a", state="enabled", flags="PF")
    assert examined(tmp_path, binfmt, HOST)[1] == {}
    write_handler(binfmt, "a", state="enabled", flags="P")
    _, found = examined(tmp_path, binfmt, HOST)
    assert list(found)[1] == "the handler a starts '/nowhere/qemu', which is not there"


def test_an_interpreter_with_libraries_is_none_for_containers(tmp_path, binfmt):
    for name, needed in (("dynamic", "/lib/ld.so"), ("static", None)):
        (tmp_path / name).write_bytes(elf(ARM64, interpreter=needed))
        write_handler(binfmt, "a", state="enabled", flags="PF", interpreter=str(tmp_path / name))
        examination, found = examined(tmp_path, binfmt, HOST)
        assert examination.binfmt.handlers[0].interpreter_dynamic is (name == "dynamic")
        told = "containers can't use the handler a: the interpreter is linked dynamically, "
        assert [problem.startswith(told) for problem in found] == [True][: name == "dynamic"]


@pytest.mark.parametrize(
    ("version", "flags", "told"),
    [("QEMU 7.2.22", "F", True), ("QEMU 7.2.22", "POF", False), (None, "F", False)],
)
def test_without_the_flag_p_qemu_s_programs_do_not_know_their_name(
    tmp_path, binfmt, version, flags, told
):
    write_handler(binfmt, "a", state="enabled", flags=flags)
    examination, _ = examined(tmp_path, binfmt, HOST)
    handler = examination.binfmt.handlers[0]
    handlers = (replace(handler, version=version),)
    examination = replace(examination, binfmt=replace(examination.binfmt, handlers=handlers))
    problems = [finding.problem for finding in find(examination)]
    assert any(problem.startswith("under the handler a programs") for problem in problems) is told


def test_binfmt_misc_may_be_switched_off(tmp_path, binfmt):
    (binfmt / "status").write_text("disabled\n")
    _, found = examined(tmp_path, binfmt, HOST)
    assert found == {
        "binfmt_misc is switched off: the kernel starts no emulator": (
            f"echo 1 > {binfmt / 'status'}"
        )
    }


def test_a_platform_with_a_handler_is_shown(tmp_path, binfmt):
    found, _ = examined(tmp_path, binfmt)
    shown = [str(ability.platform) for ability in found.platforms]
    assert shown == list(dict.fromkeys([HOST, "linux/arm64"]))
    assert found.platforms[0].requested


def test_a_handler_of_no_known_format_is_of_no_platform(tmp_path, binfmt):
    (binfmt / "python").write_text(
        "enabled\ninterpreter /bin/sh\nflags: \noffset 0\nmagic 23212f\n"
    )
    found, _ = examined(tmp_path, binfmt)
    assert "python" in [handler.name for handler in found.binfmt.handlers]
    shown = [str(ability.platform) for ability in found.platforms]
    assert shown == list(dict.fromkeys([HOST, "linux/arm64"]))


@pytest.mark.parametrize(
    ("machine", "level"),
    [("linux/arm64", None), ("linux/amd64/v1", "v1"), ("linux/amd64/v3", "v3")],
)
def test_only_amd64_has_levels_of_its_processor(monkeypatch, machine, level):
    host = Platform.parse(machine)
    levels = [f"v{number}" for number in range(1, int((level or "v0")[1:]) + 1)]
    fits = property(
        lambda self: (
            self.architecture == host.architecture
            and (self.variant is None or self.variant in levels)
        )
    )
    monkeypatch.setattr(Platform, "host", lambda: Platform(host.os, host.architecture, None))
    monkeypatch.setattr(Platform, "fits_host", fits)
    assert examination._host().cpu_level == level


# -- on the screen ---------------------------------------------------------------------------------


def test_lines_keep_to_the_terminal_but_for_commands(tmp_path, binfmt):
    write_handler(binfmt, "qemu-with-a-long-name", state="enabled", flags="", interpreter="/a/b")
    found, _ = examined(tmp_path, binfmt, "linux/mips64")
    lines = as_lines(found, find(found), width=60)
    long = [line for line in lines if len(line) > 60]
    assert [line for line in long if not line.startswith(("  cure: ", "cache  "))] == []
    assert any(line.startswith("  cure: ") for line in long)
    assert "  /nowhere/qemu (not there)" in lines, "the last column has lines of its own"


def test_interpreters_in_one_folder_are_named_without_it(tmp_path, binfmt):
    write_handler(binfmt, "other", interpreter="/nowhere/other")
    lines = as_lines(examined(tmp_path, binfmt, HOST)[0], [], width=80)
    assert "interpreters in /nowhere/" in lines
    assert [line.split()[-3] for line in lines if "(not there)" in line] == ["other", "qemu"]


def test_without_handlers_their_folder_is_named(tmp_path, binfmt):
    (binfmt / "qemu-arm64").unlink()
    lines = as_lines(examined(tmp_path, binfmt, HOST)[0], [], width=80)
    assert f"no handlers in {binfmt}" in lines


def test_words_of_strangers_do_not_reach_the_terminal_as_they_are(run, docker):
    evil = "x\x1b]52;c;evil\x07"
    (docker / "buildx-inspect").write_text(INSPECTED.replace("mine\n", f"{evil}\n", 1))
    (docker / "buildx-version").write_text(f"github.com/docker/buildx {evil} x\n")
    out = run()[1]
    assert "x?]52;c;evil?" in out
    assert all(line.isprintable() for line in out.splitlines())


def test_it_runs_as_a_module(docker):
    result = subprocess.run(
        [sys.executable, "-m", "pytest_dockerbin", "doctor", "linux/mips64"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (1, "")
    assert "\nlinux/mips64  yes    yes      no   -       -\n" in result.stdout
