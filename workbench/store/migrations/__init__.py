"""Revisions of the tables, as alembic knows them; `workbench.store.migrate` applies them."""
