"""Hallmark: is the fine-tuned model really better than the base, and may it replace what we serve?

This package is the ground everything else stands on (errors, files, settings, configuration) and the
command line on top. It imports neither torch nor jax.
"""

__version__ = "0.1.0"
