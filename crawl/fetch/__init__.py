"""Fetch images from strangers' servers: politely, safely, and each address to a definite end."""
