"""What one test does to a program is not what the next one gets."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.any_engine]


@pytest.mark.parametrize("mode", ["session", "reuse"])
def test_the_next_test_gets_the_program_as_it_was_built(project, mode):
    """Written to, made unexecutable, replaced, deleted: each is undone before the next test."""
    project.dockerfile()
    project.pytester.makepyfile(
        """
        import hashlib, os, pathlib, pytest, shutil

        def write(path): path.write_bytes(b"#!/bin/true")
        def truncate(path): os.truncate(path, 100)
        def chmod(path): path.chmod(0)
        def delete(path): path.unlink()
        def replace(path): path.unlink(); path.mkdir()
        def nothing(path): pass

        @pytest.mark.platform("linux/amd64", "linux/arm64")
        @pytest.mark.parametrize(
            "harm", [write, truncate, chmod, delete, replace, nothing], ids=lambda f: f.__name__
        )
        def test_harm(dockerbin_binary, harm):
            path = dockerbin_binary.path
            assert hashlib.sha256(path.read_bytes()).hexdigest() == dockerbin_binary.sha256
            assert path.stat().st_mode & 0o7777 == 0o755
            assert dockerbin_binary.run("true").kind == "exited"
            harm(path)
        """
    )
    project.run(f"--dockerbin-cache={mode}").assert_outcomes(passed=12)
