"""Fine-tuning in JAX, Flax NNX and Optax, from Hugging Face directory to Hugging Face directory."""
