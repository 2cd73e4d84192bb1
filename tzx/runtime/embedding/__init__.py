"""Floor 5: feature groups on TorchRec tables."""
