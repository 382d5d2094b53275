"""Sources to shards: one file per source, the decoder, the stage."""
