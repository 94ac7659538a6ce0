"""Alembic's entry: runs the schema changes over the connection that the store hands in."""

from alembic import context

from coread.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
