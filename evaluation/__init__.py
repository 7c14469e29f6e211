"""Statistics of runs: metrics with intervals, paired comparison, and the gate that decides on promotion."""
