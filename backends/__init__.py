"""Where instances run. Imports nothing of `app`."""
