"""A server's binary, tested through popen on three platforms."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.any_engine]

TESTS = """
import os
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.platform("linux/amd64", "linux/arm64", "linux/arm/v7")


@pytest.fixture
def server(dockerbin_binary, tmp_path, free_port):
    (tmp_path / "index.html").write_text("Hello World!\\n")
    server = dockerbin_binary.popen("httpd", "-f", "-v", "-p", f"127.0.0.1:{free_port}", "-h", ".",
                                    cwd=tmp_path)
    server.wait_for_port(free_port)
    Path(os.environ["PIDS"], str(server.pid)).touch()
    return f"http://127.0.0.1:{free_port}", server


@pytest.fixture
def free_port():
    import socket
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.mark.parametrize("number", range(3))
def test_it_serves(server, number):
    url, program = server
    with urllib.request.urlopen(url + "/index.html") as answer:
        assert answer.read() == b"Hello World!\\n"
    assert "response:200" in program.wait_for_line("response:200").string
"""


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_small_http_server(project, workers, tmp_path):
    """Nine servers, three of each platform; none is left."""
    pids = tmp_path / "pids"
    pids.mkdir()
    project.dockerfile()
    project.pytester.makepyfile(TESTS)
    result = project.run(workers, env={"PIDS": str(pids)})
    result.assert_outcomes(passed=9)
    assert len(list(pids.iterdir())) == 9
    left = [path.name for path in pids.iterdir() if Path(f"/proc/{path.name}/cmdline").exists()]
    assert left == []
    assert len(project.builds()) == 3
