"""Runs revisions on the connection that `registry.schema.migrate` gives, inside its transaction."""

from __future__ import annotations

from alembic import context

from registry.tables import Row

context.configure(connection=context.config.attributes["connection"], target_metadata=Row.metadata)
context.run_migrations()
