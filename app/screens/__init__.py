"""The screens of the console: one file a screen. A screen reads facts, shows them, and writes wishes."""
