"""What a session did, as values: from here every report is written, whatever its format."""
