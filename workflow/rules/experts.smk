rule experts:
    input:
        unpack(flow.inputs("experts")),
    output:
        trajectory=directory(flow.path("experts", "trajectory")),
        card=flow.path("experts", "card"),
    log:
        flow.log("experts"),
    benchmark:
        flow.benchmark("experts")
    threads: flow.resource("experts", "threads")
    resources:
        gpu=flow.resource("experts", "gpu"),
        mem_mb=flow.growing("experts", "mem_mb"),
        runtime=flow.resource("experts", "runtime"),
    params:
        *flow.values("experts"),
        command=flow.command("experts"),
    shell:
        "{params.command}"
