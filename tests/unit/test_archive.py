"""Archives that containers get."""

from __future__ import annotations

import tarfile

from pytest_dockerbin.archive import archive_of, archive_of_programs


def written(file):
    with tarfile.open(fileobj=file) as tar:
        return {info.name: (info.mode, info, _content(tar, info)) for info in tar}


def _content(tar, info):
    return tar.extractfile(info).read() if info.isreg() else None


def test_a_folder_is_copied_with_links_and_everybody_gets_the_owner_s_rights(tmp_path):
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    tree.chmod(0o700)
    (tree / "bin" / "tool").write_bytes(b"x")
    (tree / "bin" / "tool").chmod(0o750)
    (tree / "secret").write_bytes(b"")
    (tree / "secret").chmod(0o400)
    (tree / "link").symlink_to("/etc/passwd")
    with archive_of({"a/b": tree}) as file:
        found = written(file)
    assert set(found) == {"a/b", "a/b/bin", "a/b/bin/tool", "a/b/secret", "a/b/link"}
    assert [oct(found[name][0]) for name in ("a/b", "a/b/bin/tool", "a/b/secret")] == [
        *("0o777", "0o777", "0o444")
    ]
    assert found["a/b/link"][1].linkname == "/etc/passwd"
    assert found["a/b/bin/tool"][2] == b"x"
    assert {(info.uid, info.gid, info.uname) for _, info, _ in found.values()} == {(0, 0, "")}


def test_programs_and_folders_are_written_from_memory():
    found = written(archive_of_programs({"x/run": b"data"}, {"tmp": 0o1777}))
    assert found["x/run"][0] == 0o755
    assert found["x/run"][2] == b"data"
    assert found["tmp"][0] == 0o1777
    assert found["tmp"][1].isdir()
