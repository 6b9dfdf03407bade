"""Facts as rows, texts and JSON documents. Pure; the commands and the screens share it."""
