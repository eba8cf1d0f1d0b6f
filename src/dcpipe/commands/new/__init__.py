"""`dcpipe new`: an experiment for a folder of photographs, sized for this machine."""
