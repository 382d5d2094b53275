"""Shards, features and phrases to checkpoints."""
