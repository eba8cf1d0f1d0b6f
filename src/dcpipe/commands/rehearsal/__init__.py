"""What an experiment takes on this machine, told before its data is there."""
