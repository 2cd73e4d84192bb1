"""Floor 6: models, one per file."""
