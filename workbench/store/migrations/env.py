"""Run by alembic in the connection and transaction that `workbench.store.migrate` gives it."""

from alembic import context

from workbench.store.schema import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
