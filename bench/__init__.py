"""What measures: each program prints one JSON line a figure. A time is given as a ratio to something run beside it."""
