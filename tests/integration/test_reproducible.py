"""Builds that are built twice."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.any_engine]

STEP = """\
FROM scratch AS build
ARG TARGETARCH
COPY busybox-${TARGETARCH} /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox mkdir /out; cd /out; WORK"]
FROM scratch
COPY --from=build /out /
"""

SUITE = """
def test_reproducible(dockerbin):
    dockerbin.assert_reproducible()

def test_once_more(dockerbin):
    dockerbin.assert_reproducible()
"""


def test_a_build_that_gives_the_same_bytes_passes(project):
    """It is built twice for both tests together, the second time with no cache at all."""
    project.dockerfile(STEP.replace("WORK", "echo hello > a; /bin/busybox cp /bin/busybox tool"))
    project.pytester.makeini("[pytest]\ndockerbin_cache_from = 127.0.0.1:9/x:c\n")
    project.pytester.makepyfile(SUITE)
    project.run("-n2").assert_outcomes(passed=2)
    first, second = project.builds()
    assert "--no-cache" in second
    assert any(word.startswith("--cache-from=") for word in first)
    assert not any(word.startswith("--cache-from=") for word in second)


def test_what_differs_is_shown_by_file_and_place(project):
    project.dockerfile(
        STEP.replace(
            "WORK",
            "echo built: > log; /bin/busybox cat /proc/sys/kernel/random/uuid >> log; "
            "echo same > same",
        )
    )
    project.pytester.makepyfile(SUITE)
    result = project.run("-n2")
    result.assert_outcomes(failed=2)
    result.stdout.re_match_lines(
        [
            r"E +AssertionError: the export for linux/amd64 is not reproducible: built again, .*",
            r"E +log: line 2: '[0-9a-f-]{16,24}' / '[0-9a-f-]{16,24}'",
        ],
        consecutive=False,
    )
    assert "same:" not in result.stdout.str()
    assert "artifact.py" not in result.stdout.str()


def test_an_archive_is_reproducible_with_a_source_date(project):
    """Its times are then those of the source, and not those of the build."""
    project.dockerfile(STEP.replace("WORK", "echo hello > a"))
    project.pytester.makeini(
        "[pytest]\ndockerbin_exporter = tar\ndockerbin_build_args = SOURCE_DATE_EPOCH=1700000000\n"
    )
    project.pytester.makepyfile(SUITE)
    project.run().assert_outcomes(passed=2)
