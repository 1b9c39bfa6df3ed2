"""Lines of the terminal and of CI services, one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sample_report import run

from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.report.model import BuildReport
from pytest_dockerbin.reporting import tracing
from pytest_dockerbin.reporting.folding import _Line
from pytest_dockerbin.reporting.relay import Relay
from pytest_dockerbin.reporting.runs import sections
from pytest_dockerbin.reporting.services import Service, told

PLAIN = Service(
    lambda title, _place, said: f"error {title}: {said}", "begin {}".format, "end {}".format
)


class Channel:
    def setcallback(self, callback):
        self.say = callback


class Node:
    def __init__(self):
        self.workerinput = {}
        self.gateway = self

    def newchannel(self):
        return Channel()


def test_what_workers_say_before_the_first_test_is_written_when_it_begins():
    said, node = [], Node()
    relay = Relay(said.append)
    relay.pytest_configure_node(node)
    (channel,) = node.workerinput.values()
    channel.say("one")
    assert said == []
    begins = relay.pytest_runtest_logstart()
    next(begins)
    assert said == ["one"]
    begins.close()
    channel.say("two")
    assert said == ["one", "two"]


def test_a_run_s_hint_is_the_last_of_its_lines():
    ((_, text),) = sections([run("linux/amd64", returncode=1, hint="link it statically")], (), None)
    assert text.splitlines()[-1] == "hint:   link it statically"
    ((_, text),) = sections([run("linux/amd64", returncode=1)], (), None)
    assert "hint" not in text


@pytest.mark.parametrize("log", [None, "/nowhere/a.log"])
def test_a_log_that_is_not_here_is_not_folded(log):
    build = BuildReport.begun("key", Platform.parse("linux/arm64"), "Dockerfile", ())
    failed = replace(build, reason="it failed", log_path=log)
    lines = list(told([failed], PLAIN, Path("/project")))
    assert lines == ["error build of Dockerfile for linux/arm64: it failed"]


def test_a_package_that_is_not_there_is_no_extra(monkeypatch):
    def find_spec(_):
        raise ModuleNotFoundError("No module named 'opentelemetry'")

    monkeypatch.setattr(tracing.importlib.util, "find_spec", find_spec)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    assert not tracing.is_wanted()


def test_pytest_8_finds_a_line_where_it_looks_for_one():
    line = _Line("dockerbin: it failed")
    assert line.reprcrash.message == "dockerbin: it failed"
