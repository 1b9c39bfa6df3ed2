"""How a folder's name is written into ``--output``, which buildx reads as CSV."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dockerbin.buildx.command import csv_of


@pytest.mark.parametrize(
    ("folder", "written"),
    [
        ("/out", "type=local,dest=/out"),
        ("/a b", "type=local,dest=/a b"),
        ("/a,mode=delete", 'type=local,"dest=/a,mode=delete"'),
        ('/a"b', 'type=local,"dest=/a""b"'),
        ("/a=b", "type=local,dest=/a=b"),
    ],
)
def test_a_folder_s_name_begins_no_attribute(folder, written):
    assert csv_of("type=local", f"dest={folder}") == written


@given(st.lists(st.text(st.characters(exclude_characters="\0\r\n"), min_size=1), min_size=1))
def test_what_is_written_is_read_again(fields):
    written = csv_of(*fields)
    assert list(csv.reader(io.StringIO(written, newline=""), strict=True)) == [fields]
    # as Go's encoding/csv reads it: quoted, or without any sign that would need it
    for field in fields:
        quoted = '"' + field.replace('"', '""') + '"'
        assert quoted in written or not set(field) & set(',"\n\r')
