"""One path that runs a program as its runner does."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess

import pytest

from pytest_dockerbin.artifact import Binary
from pytest_dockerbin.errors import EmulatorError
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runners.host import HostRunner
from pytest_dockerbin.runners.launcher import write_container_launcher

# Stands for QEMU: -0 NAME PROGRAM ARGUMENTS...
EMULATOR = """\
#!/bin/sh
test "$1" = -0 || exit 99
name=$2; shift 2
echo "called $name"
exec "$@"
"""
PROGRAM = '#!/bin/sh\nprintf "<%s>" "$@"; echo; echo "${GIVEN-}"; exit 7\n'


def script(file, text):
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)
    return file


@pytest.fixture
def folder(tmp_path):
    """A folder whose name a shell would misread."""
    place = tmp_path / 'it\'s $HOME; "a" `b`'
    place.mkdir()
    return place


@pytest.fixture
def program(folder):
    return script(folder / "out" / "hello", PROGRAM)


@pytest.fixture
def binary(folder):
    """Make a binary whose runner starts it as given."""

    def make(program, *, runner=None, **given):
        made = HostRunner(
            name="x", timeout=30, timeout_factor=1, launchers=folder / "launchers", **given
        )
        return Binary(
            path=program,
            platform=Platform.parse("linux/arm64"),
            size=0,
            sha256="",
            runner=runner or (lambda *_: made),
        )

    return make


@pytest.fixture
def emulator(folder):
    return (str(script(folder / "qemu", EMULATOR)),)


def test_what_the_kernel_executes_is_its_own_launcher(binary, program):
    made = binary(program)
    assert made.launcher == program
    assert os.fspath(made) == str(made) == str(program)
    assert made.command("a") == [str(program), "a"]


def test_else_a_file_of_the_same_name_runs_it(binary, program, emulator):
    made = binary(program, prefix=emulator, argv0="-0")
    assert made.launcher != program
    assert made.launcher.name == "hello"
    assert os.fspath(made) == str(made.launcher)
    assert made.command("a b", "'") == [str(made.launcher), "a b", "'"]
    run = subprocess.run(made.command("a b", "'", ""), check=False, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (7, f"called {made.launcher}\n<a b><'><>\n\n")


def test_it_works_by_its_name_on_path(binary, program, emulator):
    made = binary(program, prefix=emulator, argv0="-0")
    path = f"{made.launcher.parent}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(
        ["hello", "x"], check=False, capture_output=True, text=True, env={"PATH": path}
    )
    assert (run.returncode, run.stdout) == (7, f"called {made.launcher}\n<x>\n\n")


def test_a_link_to_it_calls_the_program_by_the_link_s_name(binary, program, emulator, tmp_path):
    """As busybox and its like need."""
    link = tmp_path / "applet"
    link.symlink_to(binary(program, prefix=emulator, argv0="-0").launcher)
    run = subprocess.run([link], check=False, capture_output=True, text=True)
    assert run.stdout.startswith(f"called {link}\n")


def test_a_runner_s_variables_are_the_launcher_s(binary, program):
    made = binary(program, variables=(("GIVEN", "it's $HOME"),))
    run = subprocess.run([made], check=False, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (7, "<>\nit's $HOME\n")
    assert made.run().stdout == "<>\nit's $HOME\n"
    assert made.run(env={"GIVEN": "mine"}).stdout == "<>\nmine\n"


def test_a_command_before_the_program_is_part_of_the_run(binary, program):
    made = binary(program, prefix=("/usr/bin/env", "GIVEN=a b"))
    assert made.run("x").stdout == "<x>\na b\n"
    assert made.run("x").args == ("/usr/bin/env", "GIVEN=a b", str(program), "x")
    assert subprocess.run([made, "x"], check=False, capture_output=True).stdout == b"<x>\na b\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1])
def test_a_signal_to_it_is_a_signal_to_the_program(binary, folder, emulator, number):
    waits = script(folder / "waits", "#!/bin/sh\necho ready\nexec sleep 600\n")
    made = binary(waits, prefix=emulator, argv0="-0")
    with subprocess.Popen([made], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(b"called ")
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(30) == -number


def test_programs_of_one_folder_share_a_folder_and_others_do_not(binary, program, emulator):
    other = script(program.parent / "other", PROGRAM)
    elsewhere = script(program.parent.parent / "second" / "hello", PROGRAM)
    first, second, third = (
        binary(p, prefix=emulator).launcher for p in (program, other, elsewhere)
    )
    assert first.parent == second.parent != third.parent
    assert sorted(p.name for p in first.parent.iterdir()) == ["hello", "other"]


def test_it_is_written_once_and_mended_where_a_test_changed_it(binary, program, emulator):
    made = binary(program, prefix=emulator)
    before = made.launcher.stat()
    assert made.launcher.stat().st_ino == before.st_ino
    made.launcher.chmod(0o644)
    made.launcher.write_text("spoilt")
    assert os.access(made.launcher, os.X_OK)
    assert b"spoilt" not in made.launcher.read_bytes()


def test_a_binary_that_can_t_be_run_here_is_still_a_path(binary, program):
    def no_runner(_model=None):
        raise EmulatorError.on_host("linux/arm64", "arm64", "Exec format error")

    made = binary(program, runner=no_runner)
    assert os.fspath(made) == str(program)
    with pytest.raises(EmulatorError):
        _ = made.launcher


@pytest.mark.skipif(not shutil.which("qemu-x86_64-static"), reason="needs qemu-user-static")
@pytest.mark.skipif(Platform.host().architecture != "amd64", reason="its programs are this host's")
def test_qemu_calls_the_program_by_the_launcher_s_name(binary, folder):
    echo = folder / "sh"
    shutil.copy("/bin/sh", echo)
    made = binary(echo, prefix=("qemu-x86_64-static", "-L", "/"), argv0="-0")
    run = subprocess.run(
        [made, "-c", "echo $0; kill -TERM $$"], check=False, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout) == (-signal.SIGTERM, f"{made.launcher}\n")


def test_an_illegal_instruction_on_a_model_is_told_as_such(binary, folder):
    traps = script(folder / "traps", "#!/bin/sh\nkill -ILL $$\n")
    result = binary(traps, cpu="x86-64-v1").run()
    assert (result.kind, result.signal) == ("signaled", signal.SIGILL)
    assert result.hint.startswith("illegal instruction on baseline CPU x86-64-v1: ")
    assert binary(traps).run().stderr == ""


# -- in a container -------------------------------------------------------------------------------

DOCKER = """\
#!/bin/sh
echo "$DOCKER_HOST"
for word; do echo "<$word>"; done
"""


def test_a_container_gets_the_caller_s_variables_by_name(program, folder):
    """Not those that say where things are on this host; whatever a value holds."""
    docker = script(folder / "docker", DOCKER)
    launcher = write_container_launcher(
        program,
        folder / "launchers",
        words=(str(docker), "run", "--a", "b c"),
        image="the image",
        variables={"DOCKER_HOST": "unix:///it's here"},
    )
    assert launcher.name == program.name
    env = {
        "A": "b c\nMORE=1 *",
        "DOCKER_HOST": "tcp://elsewhere",
        "HOME": "/home",
        "PATH": os.environ["PATH"],
        "QEMU_CPU": "x",
    }
    run = subprocess.run(
        [launcher, "x y", "*"], check=True, capture_output=True, text=True, env=env, cwd=folder
    )
    host, *words = run.stdout.splitlines()
    assert host == "unix:///it's here"
    names = [word for before, word in itertools.pairwise(words) if before == "<--env>"]
    assert set(names) - {"<MORE>", "<OLDPWD>", "<SHLVL>", "<_>"} == {"<A>"}
    assert words[:3] == ["<run>", "<--a>", "<b c>"]
    assert words[-5:] == ["<--workdir>", f"<{folder}>", "<the image>", "<x y>", "<*>"]
