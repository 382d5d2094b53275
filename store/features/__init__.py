"""Feature stores: the regions of every image by key, from LMDB or HDF5 alike.

`open_store(path)` opens one shard's file or a whole artifact; `StoreWriter` writes one shard; `write_index`
makes the key index of an artifact.
"""

from __future__ import annotations

from store.features.index import INDEX, write_index
from store.features.reader import FeatureStore, open_store
from store.features.writer import StoreWriter

__all__ = ["INDEX", "FeatureStore", "StoreWriter", "open_store", "write_index"]
