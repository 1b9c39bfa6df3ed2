"""Entry point of ``python3 tools/engine``."""

import sys
from pathlib import Path

# `python3 FOLDER` puts the folder itself on the path; the package is the folder, so
# that module names such as `apt` do not hide a library of the same name.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from engine.cli import main  # noqa: E402 - needs the line above

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
