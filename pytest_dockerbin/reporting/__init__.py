"""What pytest's users see and get of a session: lines, sections, reports."""
