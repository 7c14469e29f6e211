"""What a person reads of runs, comparisons and decisions: as HTML, Markdown, JUnit and JSON."""
