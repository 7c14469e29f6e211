"""The decoder in Flax NNX: architecture, attention, rotary embeddings, adapters."""
