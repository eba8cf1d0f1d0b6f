"""dcpipe: dataset distillation as a workflow."""

__version__ = "0.1.0"
