"""Floor 3: feature generation, Arrow in and arrays out. Never imports torch."""
