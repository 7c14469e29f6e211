"""Schema revisions of the registry, run by `registry.schema.migrate`."""
