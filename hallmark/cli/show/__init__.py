"""What a person reads: tables, runs, results, memory, reproductions."""
