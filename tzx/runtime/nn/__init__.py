"""Floor 5: building blocks of models."""
