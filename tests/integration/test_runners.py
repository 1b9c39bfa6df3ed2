"""The same tests through each kind of runner, for real."""

from __future__ import annotations

import shutil
import subprocess

import pytest

pytestmark = [
    pytest.mark.engine,
    pytest.mark.any_engine,
    pytest.mark.skipif(not shutil.which("qemu-x86_64-static"), reason="needs qemu-user-static"),
]

SUITE = """
    import os, signal, subprocess
    import pytest

    @pytest.mark.platform("linux/amd64", "linux/arm64", "linux/arm/v7")
    class TestBusybox:
        def test_run(self, dockerbin_binary):
            result = dockerbin_binary.run("sh", "-c", "cat; echo err >&2; exit 3", input="größe")
            assert (result.returncode, result.stdout, result.stderr) == (3, "größe", "err\\n")

        def test_signal(self, dockerbin_binary):
            assert dockerbin_binary.run("sh", "-c", "kill -TERM $$").signal == signal.SIGTERM

        def test_environment(self, dockerbin_binary):
            out = dockerbin_binary.run("env", env={"A": "b"}).stdout
            names = {line.partition("=")[0] for line in out.splitlines()}
            assert names - {"PWD", "SHLVL"} == {
                "A", "HOME", "LANG", "PATH", "TERM", "TMPDIR", "TZ"
            }

        def test_subprocess(self, dockerbin_binary):
            command = dockerbin_binary.command("sh", "-c", "exit 5")
            assert subprocess.run(command).returncode == 5
            assert subprocess.check_output([dockerbin_binary, "echo", "a b"]) == b"a b\\n"

        def test_path(self, dockerbin_binary, tmp_path):
            folder = str(dockerbin_binary.launcher.parent)
            out = subprocess.check_output(["busybox", "echo", "x"], env={"PATH": folder})
            assert out == b"x\\n"

        def test_applet(self, dockerbin_binary, tmp_path):
            (tmp_path / "echo").symlink_to(dockerbin_binary.launcher)
            assert subprocess.check_output([tmp_path / "echo", "x"]) == b"x\\n"
"""


@pytest.mark.parametrize("runner", ["auto", "qemu"])
def test_one_suite_gives_the_same_results_through_each_runner(project, runner):
    project.dockerfile()
    project.pytester.makepyfile(SUITE)
    result = project.run(f"--dockerbin-runner={runner}")
    result.assert_outcomes(passed=18)
    assert len(project.builds()) == 3


AVX2 = """
FROM scratch
COPY avx2 /
"""


@pytest.fixture
def avx2(project):
    """A program that uses AVX2 without asking the processor."""
    source = project.pytester.path / "avx2.c"
    source.write_text(
        '__attribute__((target("avx2"))) int main(int argc, char **argv) {\n'
        "    int sum __attribute__((vector_size(32))) = {argc}, twice __attribute__(("
        "vector_size(32))) = sum + sum;\n"
        "    return twice[0] - 2;\n"
        "}\n"
    )
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("needs a C compiler")
    subprocess.run([compiler, "-static", "-O0", "-o", source.with_suffix(""), source], check=True)
    project.dockerfile(AVX2)


def test_too_new_instructions_pass_on_this_processor_and_fail_on_an_older_one(project, avx2):
    """One build serves both: linux/amd64/v1 is linux/amd64 on a processor of level 1."""
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.platform("linux/amd64", "linux/amd64/v1", "linux/amd64/v3")
        def test_it(dockerbin_binary, dockerbin):
            assert dockerbin_binary.platform == dockerbin.platform
            dockerbin_binary.run(check=True)

        @pytest.mark.platform("linux/amd64")
        def test_on_a_model(dockerbin_binary):
            assert dockerbin_binary.run(cpu="Haswell").returncode == 0
            result = dockerbin_binary.run(cpu="Nehalem")
            assert (result.kind, result.signal, result.emulated) == ("signaled", 4, True)
            assert "illegal instruction on baseline CPU Nehalem" in result.hint
        """
    )
    result = project.run("-v")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*::test_it[[]linux/amd64[]] PASSED*",
            "*::test_it[[]linux/amd64/v1[]] FAILED*",
            "*illegal instruction on baseline CPU x86-64-v1: *-march=native*",
        ]
    )
    built = [word for call in project.builds() for word in call if word.startswith("--platform")]
    assert built == ["--platform=linux/amd64", "--platform=linux/amd64/v3"]


@pytest.mark.parametrize("runner", ["auto", "container"])
def test_a_program_of_another_platform_is_not_run_though_the_kernel_would(project, runner):
    """It would run under QEMU and be told as native, and the other way round."""
    project.dockerfile("FROM scratch\nCOPY busybox-arm64 /busybox\n", "Arm")
    project.dockerfile("FROM scratch\nCOPY busybox-amd64 /busybox\n", "Amd")
    project.pytester.makepyfile(
        """
        import pytest

        def is_refused(binary, machine):
            result = binary.run("uname", "-m")
            assert (result.kind, result.returncode, result.stdout) == ("wrong-platform", 126, "")
            said = f"busybox is a 64-bit {machine} ELF file, and its platform is {binary.platform}"
            assert result.stderr == f"dockerbin: {said}\\n"

        @pytest.mark.platform("linux/amd64")
        @pytest.mark.dockerbin(dockerfile="Arm", verify=False)
        def test_foreign(dockerbin_binary):
            is_refused(dockerbin_binary, "arm64")

        @pytest.mark.platform("linux/arm64")
        @pytest.mark.dockerbin(dockerfile="Amd", verify=False)
        def test_native(dockerbin_binary):
            is_refused(dockerbin_binary, "amd64")
        """
    )
    project.run(f"--dockerbin-runner={runner}").assert_outcomes(passed=2)


def test_what_qemu_warns_of_a_model_is_not_the_program_s_output(project):
    project.dockerfile()
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.platform("linux/amd64")
        def test_model(dockerbin_binary):
            result = dockerbin_binary.run("sh", "-c", "echo mine >&2", cpu="Haswell")
            assert result.stderr == "mine\\n"
            for line in result.emulator_said.splitlines():
                assert "warning: TCG doesn't support requested feature" in line
        """
    )
    project.run().assert_outcomes(passed=1)
