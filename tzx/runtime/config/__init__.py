"""Floor 2: parse, check and override configs. Never imports torch."""
