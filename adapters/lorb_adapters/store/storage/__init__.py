"""Where the bytes of a store lie: a local folder or an fsspec file system."""
