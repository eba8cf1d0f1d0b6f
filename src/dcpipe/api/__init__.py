"""dcpipe as a library: `distill`, `evaluate`, `compare`, `load` and `from_tensors` work on tensors.

They plan jobs of the same graph as the command line and run them one after the other in this process. What they make
lies in a workspace, which is a project: every set has its card, an interrupted call is continued by the same call, and
`dcpipe plan`, `snakemake` and all other commands work there.
"""
