"""What BuildKit attests of an export: provenance and SBOM, taken out of it again.

An attestation is an in-toto statement: ``subject``, ``predicateType`` and ``predicate``. The local
exporter writes each into a file beside the exported ones; an OCI image has them as manifests of
their own. Sources: BuildKit's documentation, "Attestation storage"; in-toto's "Statement v0.1".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterator
    from pathlib import Path

Statement = dict[str, Any]
"""A parsed in-toto statement."""

PROVENANCE = "https://slsa.dev/provenance/"
"""Begins the predicate type of provenance."""
SBOM = "https://spdx.dev/Document"
"""Begins the predicate type of a software bill of materials."""

_IN_TOTO = "application/vnd.in-toto+json"


def take_files(tree: Path, prefix: str) -> tuple[Statement, ...]:
    """Remove the attestations of a local export and return them.

    Args:
        tree: the export.
        prefix: begins the names of their files.
    """
    files = sorted(path for path in tree.iterdir() if path.name.startswith(prefix))
    statements = tuple(json.loads(path.read_text()) for path in files)
    for path in files:
        path.unlink()
    return statements


def read_image(archive: Path) -> tuple[Statement, ...]:
    """Return the attestations in the archive of an OCI image."""
    import tarfile  # noqa: PLC0415 (only who asks for attestations pays for it)

    with tarfile.open(archive) as tar:
        return tuple(_statements(tar, _json(tar, "index.json")))


def _statements(tar: tarfile.TarFile, index: Any) -> Iterator[Statement]:  # noqa: ANN401 (JSON)
    for descriptor in index.get("manifests", ()):
        yield from _statements(tar, _blob(tar, descriptor))
    for layer in index.get("layers", ()):
        if layer.get("mediaType") == _IN_TOTO:
            yield _blob(tar, layer)


def _blob(tar: tarfile.TarFile, descriptor: Any) -> Any:  # noqa: ANN401
    return _json(tar, f"blobs/{descriptor['digest'].replace(':', '/')}")


def _json(tar: tarfile.TarFile, name: str) -> Any:  # noqa: ANN401
    file = tar.extractfile(name)  # only read: nothing of an archive is ever unpacked
    return json.load(file) if file else {}
