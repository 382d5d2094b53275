"""The engine: configuration, plan, keys, artifacts, executors, CLI. Knows no image and no text."""
