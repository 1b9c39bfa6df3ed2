"""Projects whose docker is a script: builds that end as a test wants them to."""

from __future__ import annotations

import os
import sys

import pytest

DOCKER = """\
#!{python} -IS
import json, os, shutil, sys, time

def tell(**facts):
    print(json.dumps({{"vertexes": [{{"digest": "1", "name": "[build 1/1] RUN make", **facts}}]}}))
    sys.stdout.flush()

dest = next(w.partition("dest=")[2] for w in sys.argv if w.startswith("--output="))
tell(started="2026-01-01T00:00:00Z")
time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
tell(started="2026-01-01T00:00:00Z", completed="2026-01-01T00:00:01Z")
platform = next(w.partition("=")[2] for w in sys.argv if w.startswith("--platform="))
broken = os.environ.get("FAKE_BROKEN", "").split()
if platform in broken or not set(sys.argv).isdisjoint(broken):
    tell(error="process \\"make\\" did not complete successfully: exit code: 2")
    print("Dockerfile:2\\n" + "-" * 20 + "\\n   2 | >>> RUN make\\n" + "-" * 20)
    sys.exit("ERROR: failed to build: failed to solve: process \\"make\\" did not complete")
os.mkdir(dest)
with open(dest + "/text", "w") as file:
    file.write("x" * 2048)
if "FAKE_PROGRAM" in os.environ:
    shutil.copy(os.environ["FAKE_PROGRAM"], dest + "/program")
"""


@pytest.fixture
def built_project(pytester, monkeypatch, tmp_path):
    """A folder whose Dockerfile is in ``app``: its export is a file ``text`` of 2 KiB.

    A build takes FAKE_SECONDS, and fails for the platforms and words of docker in FAKE_BROKEN.
    The file FAKE_PROGRAM is exported too, as ``program``.
    """
    outside = ("CI", "BUILD_NUMBER", "NO_COLOR", "FORCE_COLOR", "PYTEST_XDIST_WORKER")
    outside += ("BUILDX_BUILDER",)
    services = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "TF_BUILD", "GITLAB_CI")
    for name in (*outside, *services, "PYTEST_DOCKERBIN_PLATFORMS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DOCKERBIN_CACHE_DIR", str(tmp_path / "cache"))
    docker = pytester.mkdir("bin") / "docker"
    docker.write_text(DOCKER.format(python=sys.executable))
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
    pytester.mkdir("app").joinpath("Dockerfile").write_text("FROM scratch\nRUN make\n")
    pytester.makeini("[pytest]\ndockerbin_context = app\n")
    return pytester
