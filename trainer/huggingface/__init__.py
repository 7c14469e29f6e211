"""From and to Hugging Face directories: weights, safetensors files, the model card."""
