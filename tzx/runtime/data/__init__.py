"""Floor 4: readers, batches, the loader and writers."""
