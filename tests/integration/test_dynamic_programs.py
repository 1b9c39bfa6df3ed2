"""Dynamic programs of a distribution that is not the host's."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.engine

IMAGE = "debian:stable-slim"

# sort needs libcrypto on Debian 12 and libc alone since: its libraries' libraries are needed too
SORT = f"""\
FROM {IMAGE} AS runtime
FROM scratch AS out
COPY --from=runtime /usr/bin/sort /usr/bin/env /
"""
SORTS = """\
import subprocess, pytest

pytestmark = [
    pytest.mark.platform("linux/amd64", "linux/arm64"),
    pytest.mark.dockerbin(binary="sort"{settings}),
]

def test_sorts(dockerbin_binary):
    assert dockerbin_binary.run(input="b\\na\\n", check=True).stdout == "a\\nb\\n"

def test_sorts_started_by_others(dockerbin_binary):
    said = subprocess.run([dockerbin_binary], input="b\\na\\n", text=True, capture_output=True)
    assert (said.stdout, said.stderr) == ("a\\nb\\n", "")
"""


@pytest.fixture
def sorting(project, debian):
    project.dockerfile(SORT)
    (project.pytester.path / ".dockerignore").write_text("*\n")  # pytester writes into its folder
    return project


def test_a_stage_gives_loader_and_libraries(sorting, tmp_path):
    sorting.pytester.makepyfile(test_sort=SORTS.format(settings=", sysroot_target='runtime'"))
    sorting.run().assert_outcomes(passed=4)
    # the program once, and its libraries until none is missing: a few for each platform
    copied = [
        path.name
        for tree in tmp_path.glob("cache/v1/sessions/*/results/build-*-linux_arm64/tree")
        for path in tree.rglob("*")
        if path.is_file()
    ]
    assert "ld-linux-aarch64.so.1" in copied
    assert "libc.so.6" in copied
    assert len(copied) < 20, "no more than is needed"


def test_a_second_session_reuses_them_without_docker(sorting):
    sorting.pytester.makepyfile(test_sort=SORTS.format(settings=", sysroot_target='runtime'"))
    sorting.run("--dockerbin-cache=reuse").assert_outcomes(passed=4)
    calls = len(sorting.calls())
    sorting.run("--dockerbin-cache=reuse").assert_outcomes(passed=4)
    assert len(sorting.calls()) == calls


def test_without_one_the_missing_loader_is_named(sorting):
    sorting.pytester.makepyfile(test_sort=SORTS.format(settings=""))
    result = sorting.run("--dockerbin-platforms=linux/arm64", "-k", "test_sorts and not started")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*could not be run: no-loader*", "*/lib/ld-linux-aarch64.so.1*sysroot_target*"]
    )


def test_a_stage_that_is_not_there_is_no_image_to_be_fetched(sorting):
    sorting.pytester.makepyfile(test_sort=SORTS.format(settings=", sysroot_target='runtim'"))
    result = sorting.run()
    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines(["*sysroot_target: unknown stage 'runtim'; *'runtime'?*"])


def test_a_stage_without_the_loader_is_named(sorting):
    sorting.dockerfile(SORT + "FROM scratch AS bare\nCOPY --from=runtime /etc/passwd /\n")
    settings = ", target='out', sysroot_target='bare'"
    sorting.pytester.makepyfile(test_sort=SORTS.format(settings=settings))
    result = sorting.run("--dockerbin-platforms=linux/arm64")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*stage 'bare' has no /lib/ld-linux-aarch64.so.1*"])


def test_a_static_program_needs_none(project):
    project.dockerfile()
    project.pytester.makepyfile(
        "import pytest\n"
        "@pytest.mark.dockerbin(sysroot_target='build')\n"
        "def test_it(dockerbin_binary):\n"
        "    assert dockerbin_binary.run('true').returncode == 0\n"
    )
    project.run().assert_outcomes(passed=1)
    assert len(project.builds()) == 1


def test_hooks_see_the_export_and_not_what_its_sysroot_is_made_of(sorting):
    """A sysroot comes from the build that the hooks changed and verified."""
    sorting.pytester.makeconftest(
        """
        def pytest_dockerbin_configure_build(spec):
            assert not spec.appended
            return {"sysroot_target": "runtime"}

        def pytest_dockerbin_verify_artifact(artifact):
            assert (artifact / "sort").is_file()
        """
    )
    sorting.pytester.makepyfile(test_sort=SORTS.format(settings=""))
    sorting.run("-k", "arm64").assert_outcomes(passed=2)
