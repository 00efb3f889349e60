"""Pictures as arrays: decoding, the split, and the cache on disk."""
