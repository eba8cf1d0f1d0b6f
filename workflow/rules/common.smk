# Params are validated and the graph is made once, before any rule; the rules below only ask it.
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from dcpipe.engines.snakemake import SnakemakeRules, say
from dcpipe.engines.snakemake_private import around_run, is_first_process, rerun_also
from dcpipe.errors import DcpipeError
from dcpipe.workflow.stages import wildcards

validate(config, "../schemas/config.schema.yaml")

try:
    flow = SnakemakeRules(config, Path(), plans_all_jobs=is_first_process(workflow))
    flow.prepare_record()
    flow.send_expected_jobs()
except DcpipeError as error:
    raise WorkflowError(str(error)) from None
if is_first_process(workflow):
    rerun_also(workflow, flow.rerun_reason, say)
    around_run(workflow, flow.before_run, flow.after_run)


wildcard_constraints:
    **wildcards(),


def outputs(stage):
    """A stage's paths by name, marked as folders and for the report as the stage says."""
    found = {}
    for name, path in flow.outputs(stage.name).items():
        payload = stage.payload(name)
        if payload and payload.is_folder:
            path = directory(path)
        if payload and payload.shown:
            shown = payload.shown
            path = report(
                path,
                caption=f"../report/{shown.caption}",
                category=shown.category,
                subcategory=shown.subcategory,
                labels=shown.labels,
            )
        found[name] = path
    return found
