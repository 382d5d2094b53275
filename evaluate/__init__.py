"""Checkpoints to metrics and predictions: one file per task."""
