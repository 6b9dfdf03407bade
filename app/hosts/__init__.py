"""The machines that there are, and what is to be seen of their GPUs: through NVML here, over SSH elsewhere."""
