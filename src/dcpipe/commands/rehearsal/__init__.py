"""What an experiment takes on this machine, measured before its data is prepared."""
