rule report:
    input:
        unpack(flow.inputs("report")),
    output:
        page=report(
            flow.path("report", "page"),
            caption="../report/page.rst",
            category="Results",
        ),
        summary=report(
            flow.path("report", "summary"),
            caption="../report/summary.rst",
            category="Results",
        ),
    log:
        flow.log("report"),
    benchmark:
        flow.benchmark("report")
    threads: flow.resource("report", "threads")
    resources:
        mem_mb=flow.growing("report", "mem_mb"),
        runtime=flow.resource("report", "runtime"),
    params:
        *flow.values("report"),
        command=flow.command("report"),
    shell:
        "{params.command}"
