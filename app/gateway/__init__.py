"""The edge: the OpenAI-compatible endpoint in front of every deployment, in a process of its own."""
