"""What a session did, as values: from here every report is written, whatever its format."""

FORMATS = (".html", ".md", ".svg", ".json")
"""The suffixes of files that a report can be written into."""
