"""Programs live in folders of their own, and leave nothing in the user's."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from pytest_dockerbin.artifact import Binary
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runners.host import HostRunner
from pytest_dockerbin.runners.quarters import Quarters

pytestmark = pytest.mark.skipif(not shutil.which("sh"), reason="needs a shell")


@pytest.fixture
def quarters(tmp_path):
    made = Quarters(tmp_path / "session")
    yield made
    made.close()
    assert list(tmp_path.glob("session/p*")) == []


@pytest.fixture
def shell(quarters):
    runner = HostRunner(name="native", timeout=30, timeout_factor=1, quarters=quarters)
    return Binary(
        path=Path(shutil.which("sh")),
        platform=Platform.host(),
        size=0,
        sha256="",
        runner=lambda *_: runner,
    )


def test_nothing_is_made_before_a_program_runs(quarters, tmp_path):
    assert list(tmp_path.iterdir()) == []


def test_a_program_works_in_an_empty_folder_of_its_own(shell, tmp_path):
    for script in ("touch here", "mkdir -p a/b", "chmod 500 .", "chmod 0 .", "true"):
        result = shell.run("-c", f"pwd; ls -A; {script}", check=True)
        (folder,) = result.stdout.splitlines()
        assert Path(folder).is_relative_to(tmp_path / "session")
        assert Path(folder).exists() is (script == "true"), "what was used is not used again"


def test_an_unchanged_folder_is_used_again(shell):
    assert shell.run("-c", "pwd").stdout == shell.run("-c", "cat </dev/null; pwd").stdout


def test_a_folder_that_a_program_deleted_is_no_obstacle(shell):
    assert shell.run("-c", 'rmdir "$PWD"').returncode == 0
    assert shell.run("-c", "touch x; ls").stdout == "x\n"


def test_two_programs_at_a_time_have_a_folder_each(shell):
    with shell.popen("-c", "pwd; read x", stdin=-1) as first:
        one = first.stdout.readline().strip()
        two = shell.run("-c", "pwd; ls -A").stdout.strip()
        assert one != two
        Path(one, "used").touch()
    assert not Path(one).exists()


def test_home_and_temporary_files_are_not_the_user_s(shell):
    """One for all runs: what a program keeps there is there for the next."""
    script = 'echo "$HOME $TMPDIR"; echo kept >> ~/.settings; touch "$TMPDIR/x"; cat ~/.settings'
    first = shell.run("-c", script).stdout.splitlines()
    assert shell.run("-c", script).stdout.splitlines() == [*first, "kept"]
    home, temporary = first[0].split()
    assert Path(home) != Path.home()
    assert Path(temporary, "x").exists()


def test_a_test_s_own_folders_win(shell, tmp_path, monkeypatch):
    env = {"HOME": "/a", "TMPDIR": "/b"}
    assert shell.run("-c", 'echo "$HOME $TMPDIR"', env=env).stdout == "/a /b\n"
    monkeypatch.setenv("HOME", "/c")
    assert shell.run("-c", "echo $HOME", pass_env=["HOME"]).stdout == "/c\n"
    assert shell.run("-c", "pwd", cwd=tmp_path).stdout == f"{tmp_path}\n"
    monkeypatch.chdir(tmp_path)
    assert shell.run("-c", "pwd", cwd=".").stdout == f"{tmp_path}\n"


def test_words_are_relative_to_the_test_s_folder_where_it_names_none(shell, tmp_path, monkeypatch):
    """The program's own path and the wrapper's, not what the program itself is given."""
    monkeypatch.chdir(tmp_path)
    wrapper = tmp_path / "wrap"
    wrapper.write_text('#!/bin/sh\nexec "$@"\n')
    wrapper.chmod(0o755)
    relative = Binary(
        path=Path(os.path.relpath(shell.path)),
        platform=shell.platform,
        size=0,
        sha256="",
        runner=shell.runner,
    )
    assert relative.run("-c", "echo ok", wrapper=["./wrap"]).stdout == "ok\n"


def test_a_forked_process_has_folders_of_its_own(shell, quarters):
    before = shell.run("-c", "echo $HOME").stdout
    pid = os.fork()
    if pid == 0:
        try:
            same = shell.run("-c", "echo $HOME").stdout == before
            quarters.close()
            os._exit(1 if same else 0)
        except BaseException:  # noqa: BLE001 (a forked pytest must not go on)
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert Path(before.strip()).is_dir()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_program_that_can_t_be_started_leaves_no_folder_taken(shell, tmp_path):
    used = shell.run("-c", "pwd").stdout
    with pytest.raises(FileNotFoundError):
        shell.run("-c", "pwd", wrapper=["no-such-wrapper"])
    assert shell.run("-c", "pwd").stdout == used
