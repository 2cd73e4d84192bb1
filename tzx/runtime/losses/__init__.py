"""Floor 5: losses."""
