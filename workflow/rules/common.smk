# Params are validated and the graph is made once, before any rule; the rules below only ask it.
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from dcpipe.engines.snakemake import Flow
from dcpipe.engines.snakemake_private import is_first_process
from dcpipe.errors import DcpipeError
from dcpipe.workflow.stages import NAME, WILDCARDS

validate(config, "../schemas/config.schema.yaml")

try:
    flow = Flow(config, Path(), whole=is_first_process(workflow))
    flow.prepare_record()
except DcpipeError as error:
    raise WorkflowError(str(error)) from None


wildcard_constraints:
    **WILDCARDS,
    dataset=NAME,
    experts=NAME,
    waypoints=NAME,
    method=NAME,
    evaluation=NAME,
    network=NAME,
    experiment=NAME,


onsuccess:
    flow.record()
