"""Predictions from other programs, recorded as runs; and runs as files that other programs read."""
