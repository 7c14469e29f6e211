"""Real, deterministic predictions with Hugging Face `generate()`. torch and transformers load when the work starts."""
