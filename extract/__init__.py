"""Shards to region features: detectors, selection, batching."""
