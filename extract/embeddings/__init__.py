"""Shards to embeddings: frozen towers run once, and what trains on them never runs them again."""
