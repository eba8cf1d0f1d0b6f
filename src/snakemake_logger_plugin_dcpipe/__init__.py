"""Snakemake's output for a person: one line for the whole run; a failed job's log; details only in Snakemake's own log.

Used by ``--logger dcpipe``, which the shipped profiles set. A dry run, ``--verbose``, ``--printshellcmds`` and
``--debug-dag`` print what Snakemake itself prints; ``--quiet progress`` has no line, ``--quiet all`` nothing at all.
"""

from snakemake_logger_plugin_dcpipe.log_handler import LogHandler

__all__ = ["LogHandler"]
