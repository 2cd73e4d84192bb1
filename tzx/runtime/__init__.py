"""The shared runtime, floor by floor; a floor imports only floors below it."""
