"""The ground everything else stands on: errors, files, locks, progress, settings, child processes, GPUs."""

__version__ = "0.1.0"
