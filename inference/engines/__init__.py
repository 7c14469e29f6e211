"""What runs a model: transformers, vllm, or an endpoint, behind one protocol."""
