"""One file per kind of detector."""
