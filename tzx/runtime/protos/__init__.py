"""Floor 1: the config schema and its generated code."""
