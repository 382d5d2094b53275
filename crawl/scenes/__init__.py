"""The demo world: drawn scenes with their whole ground truth, in words of four languages."""
