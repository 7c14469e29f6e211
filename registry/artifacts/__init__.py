"""The artifact store: content-addressed files and trees, in a local folder or at any fsspec URL."""
