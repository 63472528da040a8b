"""Alembic's environment: runs on the connection that `schema.upgrade_schema` hands over, inside its transaction."""

from __future__ import annotations

from alembic import context

from slicebank_store.catalogue.serving_tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter most things in place.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
