"""An export that would fill the disk is ended while BuildKit still writes it."""

from __future__ import annotations

import os
import subprocess

import pytest

from pytest_dockerbin import (
    ArtifactError,
    Builder,
    BuildSpec,
    DockerbinError,
    Platform,
    Settings,
)
from pytest_dockerbin.settings import Limits

pytestmark = pytest.mark.engine


def test_an_endless_export_is_ended_at_its_limit(project, tmp_path):
    """Nothing of it stays, and the next build of the session works."""
    path = project.pytester.path
    project.dockerfile(
        "FROM scratch AS build\n"
        "COPY busybox-amd64 /bin/busybox\n"
        'RUN ["/bin/busybox", "dd", "if=/dev/zero", "of=/zero", "bs=1M", "count=600"]\n'
        "FROM build AS huge\n"
        "FROM scratch AS small\n"
        "COPY --from=build /bin/busybox /\n"
    )
    settings = Settings(cache_dir=tmp_path / "own", limits=Limits(size=50 * 2**20))
    spec = BuildSpec(context=path, dockerfile=path / "Dockerfile", target="huge")
    with Builder(settings) as builder:
        with pytest.raises(ArtifactError, match=r"too large: more than 52428800 bytes"):
            builder.build(spec, Platform.parse("amd64"))
        session = builder.store.path
        assert sum(f.stat().st_size for f in session.rglob("*") if f.is_file()) < 2**20
        small = BuildSpec(context=path, dockerfile=path / "Dockerfile", target="small")
        assert [file.name for file in builder.build(small, Platform.parse("amd64")).files] == [
            "busybox"
        ]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MiB: less than a busybox takes."""
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("only root can mount")
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "small", path], check=True)
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


def test_a_full_disk_is_named_with_its_folder(project, small_disk):
    """BuildKit's client says only "error from receiver: context canceled"."""
    path = project.pytester.path
    project.dockerfile("FROM scratch\nCOPY busybox-amd64 /busybox\n")
    cache = small_disk / "cache"
    with Builder(Settings(cache_dir=cache)) as builder:
        with pytest.raises(DockerbinError, match="only 0 MiB are left on the disk of") as caught:
            builder.build(BuildSpec(context=path, dockerfile=path / "Dockerfile"), "linux/amd64")
        assert str(cache) in str(caught.value)
        assert "free space there, or name another folder" in str(caught.value)
        assert not list((builder.store.path / "staging").iterdir())
