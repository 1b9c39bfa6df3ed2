"""An export that would fill the disk is ended while BuildKit still writes it."""

from __future__ import annotations

import pytest

from pytest_dockerbin import ArtifactError, Builder, BuildSpec, Platform, Settings
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
