"""Conditions, scans, labels, jobs, adapted models and the audit trail, in one data directory.

SQLAlchemy on SQLite (WAL) by default, on PostgreSQL by URL; pixels and models are content-addressed files.
"""
