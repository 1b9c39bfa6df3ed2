"""Programs that are started and not waited for."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import elf
import pytest
from processes import lives

from pytest_dockerbin.artifact import Binary
from pytest_dockerbin.errors import RunError
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runners import registry
from pytest_dockerbin.runners.host import HostRunner
from pytest_dockerbin.runners.spool import Spool, SpoolReader

HOST = Platform.host()
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these are Linux programs")


def binary(path, factor=1.0):
    runner = HostRunner(name="native", timeout=30.0, timeout_factor=factor)
    return Binary(path=path, platform=Platform.host(), size=0, sha256="", runner=lambda *_: runner)


@pytest.fixture(autouse=True)
def ended():
    """Leave nothing running."""
    yield
    registry.end_all()


def shell(script, **given):
    return binary(Path("/bin/sh")).popen("-c", script, **given)


def python(code, **given):
    return binary(Path(sys.executable)).popen("-ISuc", code, **given)


# -- as subprocess.Popen --------------------------------------------------------------------------


def test_a_program_is_spoken_with():
    with shell("while read word; do echo got $word; done", stdin=subprocess.PIPE) as program:
        for word in ("one", "two"):
            program.stdin.write(f"{word}\n")
            assert program.stdout.readline() == f"got {word}\n"
        program.stdin.close()
        assert program.wait(timeout=10) == 0
    assert program.stdout.read() == ""


def test_communicate_gives_input_and_returns_both_streams():
    program = shell("cat; echo err >&2; exit 3", stdin=subprocess.PIPE)
    assert program.communicate("größe", timeout=10) == ("größe", "err\n")
    assert program.returncode == program.poll() == program.wait() == 3


def test_communicate_without_input_ends_the_input():
    program = shell("cat; echo end", stdin=subprocess.PIPE)
    assert program.communicate(timeout=10) == ("end\n", "")


def test_what_keeps_the_output_of_a_program_that_ended_is_ended():
    program = shell("sleep 600 & echo $!; exit 3")
    with pytest.raises(RunError, match="ended with exit code 3"):
        program.wait_for_line("ready")
    assert program.stdout.readline().strip().isdigit()
    assert program.stdout.read() == ""  # or this would wait for it


def test_communicate_returns_what_was_not_read_yet():
    program = shell("echo one; echo two")
    assert program.stdout.readline() == "one\n"
    assert program.communicate() == ("two\n", "")


def test_bytes_are_given_and_taken():
    program = shell("cat", stdin=subprocess.PIPE, text=False)
    assert program.communicate(b"\xff\n") == (b"\xff\n", b"")


def test_a_program_that_never_reads_its_input_is_no_obstacle():
    program = shell("exit 0", stdin=subprocess.PIPE)
    assert program.communicate("x" * 1_000_000, timeout=10) == ("", "")


def test_without_input_it_reads_nothing():
    assert shell("cat; echo end").communicate(timeout=10) == ("end\n", "")


def test_streams_go_where_they_are_sent(tmp_path):
    with (tmp_path / "out").open("wb") as file:
        program = shell("echo out; echo err >&2", stdout=file, stderr=subprocess.STDOUT)
        assert program.communicate() == ("", "")
    assert (program.stdout, program.stderr, program.stdin) == (None, None, None)
    assert sorted((tmp_path / "out").read_text().split()) == ["err", "out"]


def test_waiting_ends_at_the_timeout_times_the_factor():
    program = binary(Path("/bin/sleep"), factor=2.0).popen("600")
    with pytest.raises(subprocess.TimeoutExpired, match=r"0\.2"):
        program.wait(timeout=0.1)
    assert program.poll() is None


@pytest.mark.parametrize(("how", "number"), [("terminate", 15), ("kill", 9)])
def test_it_is_sent_signals(how, number):
    program = shell("exec sleep 600")
    getattr(program, how)()
    assert program.wait(timeout=10) == -number
    program.terminate()  # nothing happens any more


def test_it_says_what_it_is():
    program = shell("exec sleep 600")
    assert re.fullmatch(r"<RunningProgram: \['/bin/sh', .*\], process \d+, running>", repr(program))
    program.close()
    assert repr(program).endswith("ended with -15>")


def test_what_can_t_be_started_is_an_error(tmp_path):
    path = tmp_path / "foreign"
    path.write_bytes(elf.elf(0xCAFE))
    path.chmod(0o755)
    with pytest.raises(RunError) as caught:
        binary(path).popen()
    assert str(caught.value).splitlines() == [
        f"foreign is a 64-bit machine 0xcafe ELF file, and its platform is {HOST}",
        "hint:     machine 0xcafe is unknown: no platform has it",
    ]


# -- output that nobody reads ---------------------------------------------------------------------


def test_output_that_nobody_reads_does_not_block_it():
    program = python("import sys; sys.stdout.write('x' * 5_000_000); sys.stderr.write('end')")
    assert program.wait(timeout=30) == 0
    assert program.communicate() == ("x" * 5_000_000, "end")


def test_only_the_end_of_much_output_is_kept():
    program = shell("seq 1000000", max_output=1000)
    assert program.wait(timeout=30) == 0
    out, _ = program.communicate()
    assert len(out) == 1000
    assert out.endswith("\n999999\n1000000\n")


def test_output_is_there_after_its_end():
    program = shell("echo said; exec sleep 600")
    program.wait_for_line("said")
    program.close()
    assert program.stdout.read() == "said\n"


def test_a_reader_waits_for_more_and_sees_the_end():
    reading, writing = os.pipe()
    changed = threading.Condition()
    spool = Spool(os.fdopen(reading, "rb"), 4, changed)
    reader = io.BufferedReader(SpoolReader(spool))
    timer = threading.Timer(0.2, lambda: (os.write(writing, b"abc"), os.close(writing)))
    timer.start()
    assert reader.read() == b"abc"
    assert list(spool.lines(0)) == [("abc", 3)]


# -- waiting for it to be ready -------------------------------------------------------------------


def test_a_line_is_waited_for():
    program = shell("sleep 0.2; echo listening on 8080; echo ready >&2; exec sleep 600")
    assert program.wait_for_line(r"on (\d+)$")[1] == "8080"
    assert program.wait_for_line("^ready").string == "ready"


def test_only_whole_lines_count():
    program = shell("printf 'port 80'; sleep 0.3; echo 80; exec sleep 600")
    assert program.wait_for_line(r"port (\d+)")[1] == "8080"


def test_a_line_without_an_end_counts_when_the_stream_ends():
    assert shell("printf 'port 80'").wait_for_line(r"port (\d+)")[1] == "80"


def test_each_match_is_given_once_and_a_failed_wait_takes_nothing():
    program = shell("echo request 1; echo done; echo request 2; exec sleep 600")
    assert program.wait_for_line(r"request (\d)")[1] == "1"
    with pytest.raises(RunError, match="runs, but no line matched 'nothing'"):
        program.wait_for_line("nothing", timeout=0.2)
    assert program.wait_for_line(r"request (\d)")[1] == "2"


def test_an_end_before_the_line_is_told_with_what_it_said():
    program = shell("echo starting; echo no config >&2; exit 3")
    with pytest.raises(RunError) as caught:
        program.wait_for_line("ready")
    assert str(caught.value).splitlines() == [
        f"sh for {HOST} ended with exit code 3, and no line matched 'ready'",
        "argv:   ['/bin/sh', '-c', 'echo starting; echo no config >&2; exit 3']",
        "stdout:",
        "| starting",
        "stderr:",
        "| no config",
    ]


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"pattern": b"x"}, TypeError, "pattern: expected a regular expression of text, not b'x'"),
        (
            {"pattern": re.compile(b"x")},
            TypeError,
            "pattern: expected a regular expression of text, not re.compile(b'x')",
        ),
        ({"pattern": "("}, ValueError, "pattern: missing ), unterminated subpattern at "),
        ({"pattern": "x", "timeout": "1"}, TypeError, "timeout: expected seconds, 0 or more"),
        ({"pattern": "x", "timeout": -1}, ValueError, "timeout: expected seconds, 0 or more"),
    ],
)
def test_a_line_that_can_t_be_meant_is_refused(given, error, said):
    with pytest.raises(error, match=f"^{re.escape(said)}"):
        shell("echo x").wait_for_line(**given)


def test_where_output_goes_elsewhere_no_line_is_waited_for():
    elsewhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with pytest.raises(ValueError, match="popen sends stdout and stderr elsewhere"):
        shell("echo x", **elsewhere).wait_for_line("x")
    with pytest.raises(RunError, match="and no line of stderr matched 'x'"):
        shell("echo x", stdout=subprocess.DEVNULL).wait_for_line("x")


@pytest.mark.parametrize("port", [0, -1, 65536, 99999])
def test_a_number_that_is_no_port_is_refused(port):
    with pytest.raises(ValueError, match=f"^port: expected 1 to 65535, not {port}$"):
        shell("exec sleep 600").wait_for_port(port)


@pytest.mark.parametrize("port", ["8080", 8080.0, True])
def test_what_is_no_number_is_no_port(port):
    with pytest.raises(TypeError, match=f"^port: expected 1 to 65535, not {port!r}$"):
        shell("exec sleep 600").wait_for_port(port)


LISTENING = """
import socket, sys, time
server = socket.socket({family})
server.bind(("{host}", {port}))
time.sleep(0.2)
server.listen()
print(server.getsockname()[1])
time.sleep(600)
"""


@pytest.mark.parametrize(
    ("family", "host"), [("socket.AF_INET", "127.0.0.1"), ("socket.AF_INET6", "::")]
)
def test_a_port_is_waited_for_and_told(family, host):
    program = python(LISTENING.format(family=family, host=host, port=0))
    port = program.wait_for_port()
    assert program.stdout.readline() == f"{port}\n"
    assert program.wait_for_port(port) == port


def test_a_port_of_a_process_that_it_began_counts():
    code = LISTENING.format(family="socket.AF_INET", host="127.0.0.1", port=0)
    program = python(
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-ISuc', {code!r}], "
        "start_new_session=True).wait()"
    )
    assert program.wait_for_port() > 0


def test_somebody_else_s_port_does_not_count():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        program = shell("exec sleep 600")
        with pytest.raises(RunError, match=f"nothing listened on TCP port {port} within 0.3 s"):
            program.wait_for_port(port, timeout=0.3)


def test_a_server_that_ends_before_it_listens_is_told():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        program = python(LISTENING.format(family="socket.AF_INET", host="127.0.0.1", port=port))
        with pytest.raises(RunError, match="Address already in use") as caught:
            program.wait_for_port(port)
    assert "ended with exit code 1, and nothing listened" in caught.value.summary


# -- its end --------------------------------------------------------------------------------------


STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if pid := os.fork():
    print(pid, flush=True)
else:
    os.setsid()
time.sleep(600)
"""


def test_it_is_asked_to_end_first():
    program = shell("trap 'echo bye; exit 4' TERM; echo ready; while :; do sleep 0.05; done")
    program.wait_for_line("ready")
    program.close()
    assert (program.returncode, program.stdout.read()) == (4, "ready\nbye\n")


def test_what_does_not_want_to_end_is_ended_with_all_that_it_began():
    program = python(STUBBORN)
    grandchild = int(program.wait_for_line(r"\d+")[0])
    program.close()
    assert program.returncode == -signal.SIGKILL
    assert not lives(grandchild)
    program.close()  # again is no error


def test_a_program_that_ended_leaves_nothing_behind():
    program = shell("setsid sleep 600 >/dev/null 2>&1 & echo $!")
    assert program.wait(timeout=10) == 0
    program.close()
    assert not lives(int(program.stdout.read()))


def test_no_descriptor_is_left_open():
    """But for two that are kept, for all programs."""
    shell("true").close()
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        shell("cat", stdin=subprocess.PIPE).close()
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_programs_are_ended_with_their_owner():
    of_test = shell("exec sleep 600")
    fixture = object()
    with registry.owner(fixture):
        of_fixture = shell("exec sleep 600")
    registry.end_those_of(None)
    assert (of_test.poll(), of_fixture.poll()) == (-signal.SIGTERM, None)
    registry.end_those_of(fixture)
    assert of_fixture.poll() == -signal.SIGTERM
