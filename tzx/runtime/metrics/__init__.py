"""Floor 5: metrics."""
