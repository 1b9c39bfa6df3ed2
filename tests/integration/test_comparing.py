"""What programs say of themselves and how they differ, on real ones of several platforms."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.any_engine]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "binaries.md"

# a C program of each platform: od shows four bytes as a number of the machine's byte order, and
# eight of them as numbers of the size of its long
TESTS = """
import pytest
import pytest_dockerbin

@pytest.mark.platform("linux/amd64", "linux/arm/v7", "linux/s390x")
def test_sizes(dockerbin_matrix):
    runs = pytest_dockerbin.compare(
        dockerbin_matrix,
        "sh", "-c", "head -c 4 | od -A n -t x4; printf 12345678 | od -A n -t dL; echo the same",
        input="\\1\\2\\3\\4",
    )
    rows = [line.replace("'", "").split() for line in runs.table().splitlines()]
    print(runs)
    assert rows[0] == ["linux/amd64", "linux/arm/v7", "linux/s390x"]
    assert rows[1:4] == [
        ["bits", "64", "32", "64"],
        ["byte", "order", "little", "little", "big"],
        ["C", "char", "signed", "unsigned", "unsigned"],
    ]
    assert rows[-2:] == [
        ["stdout", "1", "04030201", "04030201", "01020304"],
        ["stdout", "2", "4050765991979987505", "875770417", "943142453", "3544952156018063160"],
    ]
    with pytest.raises(AssertionError, match="platforms differ in standard output"):
        runs.assert_same()

@pytest.mark.platform("linux/amd64", "linux/arm/v7", "linux/s390x")
def test_the_same(dockerbin_matrix):
    pytest_dockerbin.compare(dockerbin_matrix, "echo", "hello").assert_same(stderr=True)

@pytest.mark.platform("linux/amd64", "linux/arm/v7", "linux/s390x")
def test_checks(dockerbin_binary, dockerbin_platform):
    info = dockerbin_binary.info
    assert info.machine == dockerbin_platform.architecture
    assert info.byte_order == ("big" if info.machine == "s390x" else "little")
    assert info.bits == (32 if info.machine == "arm" else 64)
    assert info.size == dockerbin_binary.size
    dockerbin_binary.assert_static()
    dockerbin_binary.assert_stripped()
    dockerbin_binary.assert_max_glibc("2.17")
    dockerbin_binary.assert_max_size("4 MiB")

@pytest.mark.platform("linux/s390x")
def test_too_large(dockerbin_binary):
    dockerbin_binary.assert_max_size("1 KiB")
"""


def test_programs_of_both_byte_orders_and_sizes_are_compared_and_checked(project):
    project.dockerfile()
    project.pytester.makepyfile(TESTS)
    result = project.run("-rA")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *AssertionError: busybox for linux/s390x is larger than 1,024 bytes (1 KiB)",
            "E *size: * bytes",
        ]
    )
    result.stdout.no_fnmatch_line("*_failed*")  # the check's own lines are hidden
    assert len(project.builds()) == 3


def test_the_samples_of_the_reference_can_be_copied(project):
    """Busybox is built without protections, and says the same of an unknown applet everywhere."""
    release, same = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    project.dockerfile()
    project.pytester.makepyfile(test_release=release, test_same=same)
    result = project.run("--tb=line")
    result.assert_outcomes(passed=1, failed=2)
    for platform in ("linux/amd64", "linux/arm64"):
        result.stdout.fnmatch_lines([f"*AssertionError: busybox for {platform} is not hardened"])
