# Real images to a distilled set and a report. Everything about a job (paths, inputs, params, command) comes from
# src/dcpipe/workflow/graph.py and the stages that it knows; here is only the table of contents.
from snakemake.utils import min_version

min_version("9.27")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/stages.smk"


rule all:
    default_target: True
    input:
        flow.all_outputs(),
