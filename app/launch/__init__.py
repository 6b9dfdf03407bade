"""Before anything starts: which model, whether it can be launched here, and what exactly would be started."""
