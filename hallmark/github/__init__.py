"""GitHub Actions around a command: the job's summary, annotations, and one comment on the pull request."""
