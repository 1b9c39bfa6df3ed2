"""One suite, run in every way there is: what its programs do is the same."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.any_engine]

SUITE = """
import json, os, pathlib, signal, subprocess
import pytest

PLATFORMS = ("linux/arm64", "linux/amd64")
RUNS = {
    "output": (("sh", "-c", "echo out; echo err >&2; exit 3"), {}),
    "input": (("wc",), {"input": "größe\\n" * 1000}),
    "environment": (("sh", "-c", "echo $A-$QEMU_CPU-$HOME"), {"env": {"A": "b", "HOME": "/"}}),
    "arguments": (("echo", "a b", "", "*", "'"), {}),
    "signal": (("sh", "-c", "kill -SEGV $$"), {}),
    "limit": (("sh", "-c", "yes | head -c 300000"), {"max_output": 20_000}),
    "timeout": (("sleep", "1000"), {"timeout": 0.5}),
    "missing": (("no-such-applet",), {}),
    "processor": (("uname", "-m"), {}),
    "folder": (("sh", "-c", "ls -A; touch here; ls -A"), {}),
}

def note(request, value):
    with open(os.environ["RESULTS"], "a") as results:
        print(json.dumps([request.node.name, value]), file=results)

@pytest.mark.platform(*PLATFORMS)
@pytest.mark.parametrize("what", RUNS)
def test_run(dockerbin_binary, what, request):
    args, given = RUNS[what]
    result = dockerbin_binary.run(*args, **given)
    begin = result.stdout[:100]  # how much more of a long output is kept depends on its pieces
    note(request, [result.kind, result.returncode, result.signal, begin, result.stderr])
    print("RUNNER", dockerbin_binary.platform, result.runner)

@pytest.mark.platform(*PLATFORMS)
def test_conversation(dockerbin_binary, request):
    with dockerbin_binary.popen("cat", stdin=subprocess.PIPE) as cat:
        cat.stdin.write("hello\\n")
        cat.stdin.flush()
        said = cat.wait_for_line("hel(.*)")[1]
        cat.terminate()
        note(request, [said, cat.wait(10)])

@pytest.mark.platform(*PLATFORMS)
def test_launcher(dockerbin_binary, request, tmp_path):
    run = subprocess.run(
        [dockerbin_binary.launcher, "sh", "-c", "cat; exit 4"], input=b"in", capture_output=True
    )
    note(request, [run.returncode, run.stdout.decode(), run.stderr.decode()])
"""

TESTS = 24


@pytest.fixture
def run_suite(project, tmp_path, monkeypatch):
    """Run the suite in a way and return what its programs did, and what ran them."""
    project.dockerfile()
    project.pytester.makepyfile(SUITE)

    def run(name, *options, inside=()):
        results = tmp_path / f"{name}.results"
        monkeypatch.setenv("RESULTS", str(results))
        command = [sys.executable, "-m", "pytest", "-rP", "-p", "no:cacheprovider", *options]
        said = project.pytester.run(*inside, *command)
        said.assert_outcomes(passed=TESTS)
        words = [line.split()[1:] for line in said.outlines if line.startswith("RUNNER ")]
        lines = map(json.loads, results.read_text().splitlines())
        return dict(lines), dict(words)

    return run


def test_one_suite_gives_the_same_results_in_every_way(run_suite, far_context):
    """By the processor, the kernel's emulator, QEMU by name, containers here and elsewhere."""
    mount = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc"
    bare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*bare, mount], check=False, capture_output=True).returncode:
        pytest.skip("no user namespace with a binfmt_misc of its own, which has no handler")
    expected, runners = run_suite("auto")
    assert runners == {"linux/amd64": "native", "linux/arm64": "binfmt"}
    assert len(expected) == TESTS
    assert expected["test_run[linux/arm64-processor]"][3] == "aarch64\n"
    for name, options, inside in (
        ("qemu", [], [*bare, f'{mount} && exec "$@"', "sh"]),
        ("container", ["--dockerbin-runner=container"], []),
        ("docker", [f"--dockerbin-runner=docker:{far_context}"], []),
    ):
        results, runners = run_suite(name, *options, inside=inside)
        assert runners["linux/arm64"] == name
        assert results == expected, name
