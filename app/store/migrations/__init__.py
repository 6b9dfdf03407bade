"""Numbered SQL: file NNNN_name.sql takes the schema from version NNNN-1 to NNNN. A landed file never changes."""
