"""Deterministic predictions with Hugging Face `generate()`. torch and transformers load when work starts."""
