rule data:
    output:
        train=directory(flow.path("data", "train")),
        test=directory(flow.path("data", "test")),
        card=flow.path("data", "card"),
    log:
        flow.log("data"),
    benchmark:
        flow.benchmark("data")
    threads: flow.resource("data", "threads")
    resources:
        mem_mb=flow.growing("data", "mem_mb"),
        runtime=flow.resource("data", "runtime"),
    params:
        *flow.values("data"),
        command=flow.command("data"),
    shell:
        "{params.command}"


rule whiten:
    input:
        unpack(flow.inputs("whiten")),
    output:
        whitening=directory(flow.path("whiten", "whitening")),
        card=flow.path("whiten", "card"),
    log:
        flow.log("whiten"),
    benchmark:
        flow.benchmark("whiten")
    threads: flow.resource("whiten", "threads")
    resources:
        mem_mb=flow.growing("whiten", "mem_mb"),
        runtime=flow.resource("whiten", "runtime"),
    params:
        *flow.values("whiten"),
        command=flow.command("whiten"),
    shell:
        "{params.command}"
