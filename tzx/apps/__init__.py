"""Entry files: parse flags, call the runtime, map errors to exit codes."""
