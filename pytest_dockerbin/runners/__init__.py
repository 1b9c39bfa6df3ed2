"""Ways to run an exported program, and how they are proved."""
