"""The server: the only process that loads backends, and the only one that acts on them."""
