"""Data that a person may read and a user may override. A package, so that it ships."""
