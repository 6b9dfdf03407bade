"""`stoker …`: one small file a group of verbs. Parse, call, print."""
