"""What is read of the machine, also where there is nothing to be read."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from pytest_dockerbin.runners import listening, mounts, procfs
from pytest_dockerbin.tables import size_text

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")


@needs_proc
def test_the_folder_of_a_mount_is_found_from_inside():
    assert mounts.mount_of(Path("/proc/self/status")) == Path("/proc")


@needs_proc
def test_nothing_is_read_of_a_process_that_is_not_there():
    assert procfs.read("/proc/0/status") == b""
    assert procfs.peak_memory(0) is None


@needs_proc
def test_nothing_is_read_of_a_process_that_ended_meanwhile():
    # opened while it was there; reading is what fails then, as it does of a folder
    assert procfs.read("/proc/self") == b""


@needs_proc
def test_a_port_is_found_by_its_process_only():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listening.ports_of(lambda: [os.getpid()], None) >= {port}
        assert listening.ports_of(lambda: [os.getpid()], port) == {port}
        gone = 0  # no process has this number
        assert listening.ports_of(lambda: [gone], port) == set()
    assert listening.ports_of(lambda: [os.getpid()], port) == set()


@needs_proc
def test_a_kernel_without_ipv6_has_ports_all_the_same(monkeypatch):
    real = open

    def without(name, *args, **given):
        if name == "/proc/net/tcp6":
            raise FileNotFoundError(name)
        return real(name, *args, **given)

    monkeypatch.setattr("builtins.open", without)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listening.ports_of(lambda: [os.getpid()], port) == {port}


def test_elsewhere_a_port_is_connected_to(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listening.ports_of(list, port) == {port}
    assert listening.ports_of(list, port) == set()
    assert listening.ports_of(list, None) == set()


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1 << 20, "1.0 MiB"),
        (1 << 30, "1.0 GiB"),
        (3 << 40, "3.0 TiB"),
        (5 << 50, "5120.0 TiB"),
    ],
)
def test_sizes_are_told_in_the_largest_unit(count, text):
    assert size_text(count) == text
