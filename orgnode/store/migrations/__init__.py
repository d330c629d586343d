"""Numbered SQL scripts that bring a database from one schema version to the next."""
