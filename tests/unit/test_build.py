"""One build by a docker command that is a script: how it is followed, ended and tried again."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace

import elf
import pytest

from pytest_dockerbin.buildx import build as module
from pytest_dockerbin.buildx import diagnosis, process
from pytest_dockerbin.buildx import docker as docker_module
from pytest_dockerbin.buildx.build import _Emulation, build
from pytest_dockerbin.buildx.command import arguments
from pytest_dockerbin.buildx.docker import buildx_words
from pytest_dockerbin.buildx.linked import bake_arguments
from pytest_dockerbin.buildx.process import SessionStopped, Timeouts, TimeUp, Watch, follow
from pytest_dockerbin.errors import BuildError, DaemonLostError, EngineError, StoppedError
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.progress import BuildLog
from pytest_dockerbin.spec import Baked, BuildSpec, Linked

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="docker is a script here")

AMD64 = Platform.parse("linux/amd64")
LOST = "ERROR: rpc error: code = Unavailable desc = error reading from server: EOF"
STEP = '{"digest": "1", "name": "[bin 1/1] RUN make", "started": "2026-01-01T00:00:00Z"'


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Makes a docker that does what the lines of a shell say."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(module, "_RETRY_PAUSE", 0.0)

    def make(lines):
        (folder / "docker").write_text(f"#!/bin/sh\n{lines}\n")
        (folder / "docker").chmod(0o755)
        return str(folder / "docker")

    return make


@pytest.fixture
def built(tmp_path):
    """Build, with what is given as ``watch``."""
    (tmp_path / "Dockerfile").write_text("FROM scratch AS bin\nRUN make\n")
    spec = BuildSpec(context=tmp_path, dockerfile=tmp_path / "Dockerfile")

    def built(**watch):
        return build(
            spec,
            AMD64,
            dest=tmp_path / "dest",
            log_path=tmp_path / "log",
            timeouts=Timeouts(total=60.0),
            watch=Watch(**watch),
        )

    return built


# -- a daemon that is lost ------------------------------------------------------------------------


def test_a_build_whose_daemon_was_lost_is_tried_once_more(docker, built, tmp_path, monkeypatch):
    away = [EngineError("away"), EngineError("away")]
    monkeypatch.setattr(diagnosis, "missing_part", lambda _: away.pop() if away else None)
    begun = tmp_path / "begun"
    docker(f"test -e {begun} && exit 0; touch {begun}; echo '{LOST}'; exit 1")
    assert built().steps == 0
    assert away == [], "it was waited for"
    assert "-- the daemon was lost (" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("began", [False, True])
def test_a_daemon_that_is_lost_twice_was_there_or_is_missing(docker, built, monkeypatch, began):
    monkeypatch.setattr(diagnosis, "missing_part", lambda _: EngineError("nobody is there"))
    monkeypatch.setattr(module, "_RESTART", 0.0)
    step = json.dumps({"vertexes": [json.loads(f"{STEP}}}")]}) if began else ""
    docker(f"echo '{step}'; echo '{LOST}'; exit 1")
    with pytest.raises(DaemonLostError if began else EngineError) as caught:
        built()
    if began:
        assert caught.value.summary.startswith(
            "the Docker daemon was lost during the build for linux/amd64, twice: "
        )
        assert "journalctl -u docker" in caught.value.hint
    else:
        assert caught.value.summary == "nobody is there"


def test_what_somebody_ended_while_the_session_is_stopped_is_no_failure(docker, built):
    docker("exit 1")
    with pytest.raises(StoppedError, match="linux/amd64"):
        built(stopped=lambda: True)


def test_a_step_that_can_t_be_executed_failed_itself_where_the_builder_can_t_be_asked(
    docker, built
):
    log = "ZXhlYyBmb3JtYXQgZXJyb3IK"  # "exec format error"
    lines = [
        {"vertexes": [json.loads(f"{STEP}}}")]},
        {"logs": [{"vertex": "1", "stream": 2, "data": log}]},
        {"vertexes": [json.loads(f'{STEP}, "error": "exit code: 126"}}')]},
    ]
    said = "\n".join(f"echo '{json.dumps(line)}'" for line in lines)
    docker(f'case "$*" in *--progress=rawjson*) ;; *) exit 1;; esac\n{said}\nexit 1')
    with pytest.raises(BuildError) as caught:
        built()
    assert caught.value.summary == "build failed for linux/amd64: RUN make (exit code 126)"


# -- its environment ------------------------------------------------------------------------------


@pytest.mark.parametrize(("processors", "used"), [(2, "1"), (16, "4"), (None, "1")])
def test_buildx_leaves_the_processors_to_the_engine(docker, built, monkeypatch, processors, used):
    monkeypatch.setattr(module.os, "cpu_count", lambda: processors)
    monkeypatch.delenv("GOMAXPROCS", raising=False)
    docker(f'test "$GOMAXPROCS" = {used}')
    built()


def test_buildx_gets_as_many_processors_as_the_user_says(docker, built, monkeypatch):
    monkeypatch.setenv("GOMAXPROCS", "7")
    docker('test "$GOMAXPROCS" = 7')
    built()


@pytest.mark.parametrize(
    ("variables", "protocol"),
    [
        ({}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317/"}, ""),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "grpc",
        ),
    ],
)
def test_buildx_sends_its_spans_as_ours_are_sent(docker, built, monkeypatch, variables, protocol):
    for name in ("ENDPOINT", "TRACES_ENDPOINT", "PROTOCOL"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    docker(f'test "$OTEL_EXPORTER_OTLP_PROTOCOL" = "{protocol}"')
    built()


# -- following a command --------------------------------------------------------------------------


def followed(script, watch=None, **timeouts):
    log = BuildLog(lambda _: None)
    return follow(["sh", "-c", script], log, Timeouts(**timeouts), watch or Watch(), {})


def test_a_command_that_says_nothing_is_ended():
    with pytest.raises(TimeUp, match=r"printed nothing for 0\.1 s"):
        followed("sleep 600", silence=0.1)


def test_a_command_that_closes_its_output_is_ended_at_its_limit_all_the_same():
    with pytest.raises(TimeUp, match=r"took longer than 1 s"):
        followed("exec >&- 2>&-; sleep 600", total=1.0)


def test_a_stop_is_seen_while_a_command_says_nothing():
    with pytest.raises(SessionStopped):
        followed("sleep 600", Watch(stopped=lambda: True), total=60.0)


def test_a_child_that_keeps_the_output_open_is_not_waited_for():
    assert followed("sleep 600 & exit 3", total=60.0) == 3


def test_what_left_the_group_and_keeps_the_output_open_holds_nobody_up(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "_LAST_WORDS", 0.1)
    pid = tmp_path / "pid"
    escaped = f"setsid sh -c 'echo $$ > {pid}; exec sleep 600' & while ! test -s {pid}; do :; done"
    try:
        assert followed(f"{escaped}; exit 3", total=60.0) == 3
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(pid.read_text()), signal.SIGKILL)


def test_who_looks_after_a_command_knows_it_from_before_its_start_to_its_end(
    tmp_path,
):
    told = []

    class Guard:
        @contextmanager
        def start(self):
            told.append("start")
            yield {"MARK": "m1"}
            told.append("started")

        @contextmanager
        def group(self, number):
            self.number = number
            told.append("group")
            yield
            told.append("ended")

    guard, seen = Guard(), tmp_path / "seen"
    assert followed(f'echo "$$ $MARK" > {seen}', Watch(guard=guard)) == 0
    assert seen.read_text() == f"{guard.number} m1\n"
    assert told == ["start", "group", "started", "ended"]


def test_a_docker_command_that_can_t_be_started_is_told():
    with pytest.raises(EngineError, match=r"the docker command can't be started: .*/nowhere"):
        follow(["/nowhere"], BuildLog(lambda _: None), Timeouts(), Watch(), {})


# -- words ----------------------------------------------------------------------------------------


def test_where_docker_s_settings_can_t_be_read_docker_finds_its_plugin_itself(docker, tmp_path):
    command = docker("")
    with open(command, "wb") as file:  # noqa: PTH123 (as the module does)
        file.write(elf.elf())
    plugin = tmp_path / "cli-plugins" / "docker-buildx"
    plugin.parent.mkdir()
    plugin.touch(0o755)
    assert buildx_words() == [str(plugin)]
    (tmp_path / "config.json").write_bytes(b"\xff")
    assert docker_module.buildx_words() == [command, "buildx"]


@pytest.mark.parametrize(
    ("of", "step", "emulated"),
    [
        ("", "[bin 1/1] RUN make", False),
        ("--platform=linux/s390x ", "[bin 1/1] RUN make", True),
        ("--platform=$BUILDPLATFORM ", "[bin 1/1] RUN make", False),
        ("--platform=linux/$PROCESSOR ", "[bin 1/1] RUN make", None),
        ("", "[bin 1/1] COPY . .", False),
    ],
)
def test_which_steps_are_emulated_is_known_unless_an_argument_decides(tmp_path, of, step, emulated):
    spec = BuildSpec(context=tmp_path, dockerfile=f"FROM {of}x AS bin\nRUN make\n")
    assert _Emulation(spec, Platform.host())(step) is emulated


def test_where_every_step_runs_again_no_stage_is_named_for_it(tmp_path):
    """Buildx refuses both."""
    spec = BuildSpec(context=tmp_path, dockerfile="Dockerfile", no_cache_filter=("a", "b"))
    words = arguments(spec, AMD64, "Dockerfile", dest="out")
    assert [word for word in words if "cache" in word] == [
        "--no-cache-filter=a",
        "--no-cache-filter=b",
    ]
    words = arguments(replace(spec, no_cache=True), AMD64, "Dockerfile", dest="out")
    assert [word for word in words if "cache" in word] == ["--no-cache"]


def test_a_build_with_linked_targets_is_a_bake_file_with_all_that_it_needs(tmp_path):
    base = BuildSpec(
        context="https://host/a.git",
        dockerfile="FROM scratch\n",
        add_hosts=(("a", "::1"), ("a", "10.0.0.1")),
    )
    (tmp_path / "Dockerfile").write_text("FROM b\n")
    app = BuildSpec(
        context=tmp_path,
        dockerfile=tmp_path / "Dockerfile",
        builder="far",
        build_contexts=(("b", "target:base"),),
        linked=(Linked("base", base),),
        baked=Baked((tmp_path / "bake.hcl",), "app"),
    )
    words = bake_arguments(app, AMD64, tmp_path, dest="out")
    assert words == ["bake", f"--file={tmp_path / 'docker-bake.json'}", "--builder=far", "app"]
    made = json.loads((tmp_path / "docker-bake.json").read_text())["target"]
    assert made["app"]["dockerfile"] == str(tmp_path / "Dockerfile")
    assert made["base"]["dockerfile-inline"] == "FROM scratch\n"
    assert made["base"]["extra-hosts"] == {"a": "::1,10.0.0.1"}
