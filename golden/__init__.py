"""Datasets: schema, loader, manifests, the contamination guard, and the built-in golden-v1, train-v1 and tiny base model."""
