"""Floor 7: bundle and predictor. Never imports torchrec."""
