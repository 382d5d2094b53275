"""Where shards are worked on: this process, or Ray actors."""
