"""A Kubernetes cluster in this process, for tests."""
