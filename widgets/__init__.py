"""Textual widgets that show what they are given. Imports nothing of `app`."""
