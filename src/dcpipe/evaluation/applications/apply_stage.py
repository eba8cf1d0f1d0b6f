"""The apply stage: one part of an application of one synthetic set. It opens test data, as evaluation does."""

import json

from dcpipe import device
from dcpipe.data import store
from dcpipe.distillation import synthetic_set
from dcpipe.evaluation.applications.trials import ApplicationInputs, Trials
from dcpipe.params.application import Application
from dcpipe.params.evaluation import Evaluation
from dcpipe.random import Stream
from dcpipe.workflow.task import Task


def run(task: Task) -> None:
    """Measure the part, and write every single accuracy."""
    application, evaluation = task.section("application", Application), task.section("evaluation", Evaluation)
    wildcards, target = task.job.wildcards, device.choose()
    whitened_by = task.input("whitening") if "whitening" in task.job.inputs else None
    material = ApplicationInputs(
        synthetic=synthetic_set.load(task.input("synthetic")),
        test=store.load(task.input("test"), "test", target, whitened_by),
        native=task.section("network", str),
        stream=Stream.root(application.seed, "apply", wildcards["dataset"]),
        part=int(wildcards["part"]),
    )
    results = application.task.build()(Trials(task, evaluation), material)
    task.output("results").write_text(json.dumps({"task": application.task.kind, **results}, indent=1) + "\n")
    task.facts |= {"protocol": wildcards["evaluation"], "test_images": len(material.test.labels_N)}
