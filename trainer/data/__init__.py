"""From traces to batches: tokens, packed rows, and the order in which they are read."""
