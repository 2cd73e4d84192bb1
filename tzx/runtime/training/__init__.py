"""Floor 7: session, loop, optimizers, checkpoints, signals, logging."""
