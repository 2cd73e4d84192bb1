"""What components call: roles, the torchrun line, resources, mounts. Never imports torch."""
