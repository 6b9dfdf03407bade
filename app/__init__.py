"""The console, and everything that decides."""
