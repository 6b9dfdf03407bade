"""Real engines that not every machine has: skipped, with the reason, where they are not installed."""
