# One rule a stage, made from what the stage says of itself (dcpipe/workflow/stages.py says how to add one).
for stage in flow.stages:

    rule:
        name:
            stage.name
        input:
            unpack(flow.inputs(stage.name)),
        output:
            **outputs(stage),
        log:
            flow.log(stage.name),
        threads: flow.resource(stage.name, "threads")
        resources:
            **flow.resources(stage.name),
        params:
            *flow.param_values(stage.name),
            command=flow.command(stage.name),
        shell:
            "{params.command}"
