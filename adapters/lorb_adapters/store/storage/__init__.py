"""The storage of a store's files: a local folder or an fsspec file system."""
