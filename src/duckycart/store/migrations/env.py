"""Alembic runs this file, on the connection that `store.migrate` hands over."""

from alembic import context

from duckycart.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter most things in place
    transactional_ddl=True,  # all of a migration or nothing, on SQLite too
)
with context.begin_transaction():
    context.run_migrations()
