"""Captions to scene graphs to phrase concepts to the concept vocabulary."""
