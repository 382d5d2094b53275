"""File formats: shards, tables, feature stores, state files, atomic writes. Knows no stage."""
