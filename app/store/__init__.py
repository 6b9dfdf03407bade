"""The state store: SQLite in WAL mode, written through SQLModel, read by plain sqlite3 where speed matters."""
