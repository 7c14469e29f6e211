"""Hallmark: is the fine-tuned model really better than the base, and may it replace what we serve?

This package is the ground everything else stands on (errors, files, settings, configuration) and the
command line on top. It imports neither torch nor jax.
"""

from core import __version__

__all__ = ["__version__"]
