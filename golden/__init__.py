"""Datasets: schema, loader, manifests, contamination guard; and the built-in datasets and tiny base model."""
