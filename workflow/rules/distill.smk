rule distill:
    input:
        unpack(flow.inputs("distill")),
    output:
        synthetic=flow.path("distill", "synthetic"),
        snapshots=flow.path("distill", "snapshots"),
        history=flow.path("distill", "history"),
        preview=report(
            flow.path("distill", "preview"),
            caption="../report/preview.rst",
            category="Synthetic sets",
            subcategory="{dataset}",
            labels={"method": "{method}", "ipc": "{ipc}", "set": "{set}"},
        ),
        card=flow.path("distill", "card"),
    log:
        flow.log("distill"),
    benchmark:
        flow.benchmark("distill")
    threads: flow.resource("distill", "threads")
    resources:
        gpu=flow.resource("distill", "gpu"),
        mem_mb=flow.growing("distill", "mem_mb"),
        runtime=flow.resource("distill", "runtime"),
    params:
        *flow.values("distill"),
        command=flow.command("distill"),
    shell:
        "{params.command}"
