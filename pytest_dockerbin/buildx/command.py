"""The words of a ``docker buildx build`` command: nothing that a user wrote becomes a flag."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from pytest_dockerbin.secret import attribute

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.spec import BuildSpec


def arguments(spec: BuildSpec, platform: Platform, dockerfile: Path, *, dest: str) -> list[str]:
    """Return docker's arguments: always ``--flag=value``, and the context behind ``--``."""
    words = [
        "buildx",
        "build",
        f"--platform={platform}",
        f"--output={_csv('type=local', f'dest={dest}')}",
        f"--file={dockerfile}",
        "--provenance=false",  # else provenance.json lands among the exported files
        "--sbom=false",
    ]
    if spec.builder:
        words.append(f"--builder={spec.builder}")
    if spec.target:
        words.append(f"--target={spec.target}")
    words += [f"--build-arg={name}={value}" for name, value in spec.build_args]
    words += [f"--build-context={name}={value}" for name, value in spec.build_contexts]
    words += [
        f"--secret={_csv(f'id={name}', attribute(source, number))}"
        for number, (name, source) in enumerate(spec.secrets)
    ]
    if spec.network:
        words.append(f"--network={spec.network}")
    if spec.no_cache:
        words.append("--no-cache")
    if spec.pull:
        words.append("--pull")
    return [*words, "--", str(spec.context)]


def _csv(*fields: str) -> str:
    """Quote as buildx reads ``--output``: a comma in a folder's name begins no attribute."""
    line = io.StringIO()
    # a line break in a value is quoted only where the writer ends its lines by one
    csv.writer(line).writerow(fields)
    return line.getvalue().removesuffix("\r\n")
