"""Fine-tuning in JAX, Flax NNX and Optax, with Hugging Face directories at both ends. jax loads when the work starts."""
