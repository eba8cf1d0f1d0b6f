rule convexify:
    input:
        unpack(flow.inputs("convexify")),
    output:
        path=directory(flow.path("convexify", "path")),
        accuracies=flow.path("convexify", "accuracies"),
        card=flow.path("convexify", "card"),
    log:
        flow.log("convexify"),
    benchmark:
        flow.benchmark("convexify")
    threads: flow.resource("convexify", "threads")
    resources:
        mem_mb=flow.growing("convexify", "mem_mb"),
        runtime=flow.resource("convexify", "runtime"),
    params:
        *flow.values("convexify"),
        command=flow.command("convexify"),
    shell:
        "{params.command}"
