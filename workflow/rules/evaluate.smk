rule evaluate:
    input:
        unpack(flow.inputs("evaluate")),
    output:
        scores=flow.path("evaluate", "scores"),
        card=flow.path("evaluate", "card"),
    log:
        flow.log("evaluate"),
    benchmark:
        flow.benchmark("evaluate")
    threads: flow.resource("evaluate", "threads")
    resources:
        gpu=flow.resource("evaluate", "gpu"),
        mem_mb=flow.growing("evaluate", "mem_mb"),
        runtime=flow.resource("evaluate", "runtime"),
    params:
        *flow.values("evaluate"),
        command=flow.command("evaluate"),
    shell:
        "{params.command}"


rule metrics:
    input:
        unpack(flow.inputs("metrics")),
    output:
        metrics=flow.path("metrics", "metrics"),
        card=flow.path("metrics", "card"),
    log:
        flow.log("metrics"),
    benchmark:
        flow.benchmark("metrics")
    threads: flow.resource("metrics", "threads")
    resources:
        mem_mb=flow.growing("metrics", "mem_mb"),
        runtime=flow.resource("metrics", "runtime"),
    params:
        *flow.values("metrics"),
        command=flow.command("metrics"),
    shell:
        "{params.command}"
