"""Datasets from files as people have them: what shape a file has, and what its columns mean."""
