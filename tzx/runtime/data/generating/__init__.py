"""Features made once, ahead of training, and written as columns named like them."""

from tzx.runtime.data.generating.run import GeneratingOptions, GeneratingSummary, generate_files

__all__ = ["GeneratingOptions", "GeneratingSummary", "generate_files"]
