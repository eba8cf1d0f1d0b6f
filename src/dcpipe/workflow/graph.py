"""THE graph: an experiment's jobs, each with inputs, outputs, the params that can alter it, and its command.

Both engines are compiled from it: Snakemake's rules ask it for inputs, params and commands, and dvc.yaml is
written from it. Paths are names; digests live in cards and in dvc.lock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from dcpipe.data import registry
from dcpipe.distillation import composition
from dcpipe.errors import RefusedError, UserError
from dcpipe.models import names
from dcpipe.params import check, check_episode, check_labels
from dcpipe.params.dataset import Zca
from dcpipe.params.library import Library
from dcpipe.params.method import Method
from dcpipe.params.resolve import Extra
from dcpipe.params.trajectory import ConvexPath, Trajectory
from dcpipe.params.values import Values, keys, merge, native, neutral
from dcpipe.provenance import code_identity
from dcpipe.workflow.job import Job, Resources
from dcpipe.workflow.stages import STAGES, match, results_folder

_WORDS = {  # the wildcard that names a params file of a section
    "experiments": "experiment",
    "datasets": "dataset",
    "experts": "experts",
    "methods": "method",
    "evaluations": "evaluation",
}

EXPERTS = {
    "trained": "dcpipe.experts.experts_stage",
    "imported": "dcpipe.experts.buffers",
}  # what makes experts, by origin


@dataclass
class Graph:
    """Jobs from params files. One instance reads each file once; make a new one to see an edit.

    `extra` is what `dcpipe run FILE` brings along: no engine sees its jobs.
    """

    root: Path = field(default_factory=Path)
    extra: Extra = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.library = Library(self.root, self.extra)
        self._jobs: dict[tuple[str, tuple[tuple[str, str], ...]], Job] = {}
        self._makers: dict[str, Job] = {}
        self._identity = code_identity.Identity.now(self.root)
        self._modules: dict[tuple[str, ...], tuple[str, ...]] = {}

    def jobs(self, experiment: str) -> list[Job]:
        """Every job of an experiment, in an order in which they could run; checked for impossible combinations.

        Raises: UserError naming file and key; RefusedError if two jobs would share a path.
        """
        ordered: dict[str, Job] = {}

        def visit(job: Job) -> None:
            for path in (path for paths in job.inputs.values() for path in paths):
                visit(self._makers[path]) if self._makers[path].name not in ordered else None
            ordered[job.name] = job

        visit(self.job("report", experiment=experiment))
        rows = list(STAGES)
        return sorted(ordered.values(), key=lambda job: rows.index(job.stage))

    def maker(self, path: str) -> Job:
        """The job that makes an artifact, or the folder of one.

        Raises: UserError if no stage makes such a path.
        """
        found = match(path)
        if found is None:
            raise UserError("no stage makes this path", where=path, remedy="name something under artifacts/")
        return self.job(found[0], **found[1])

    def job(self, stage: str, **wildcards: str | int) -> Job:
        """One job.

        Raises: UserError for unknown names, bad params or an impossible combination.
        """
        words = {name: str(value) for name, value in wildcards.items()}
        key = (stage, tuple(sorted(words.items())))
        if key not in self._jobs:
            job: Job = getattr(self, f"_{stage}")(**words)
            for path in job.outputs.values():
                other = self._makers.setdefault(path, job)
                if other.name != job.name or other.params != job.params:
                    raise RefusedError(f"{other.name} and {job.name} would both write it", where=path)
            self._jobs[key] = job
        return self._jobs[key]

    def _data(self, dataset: str) -> Job:
        resolved, what = self.library.dataset(dataset)
        check.dataset(resolved, what)
        source, facts = registry.SOURCES[what.source.kind], registry.facts(what)
        values = [keys(resolved, without=("description", "network", "whitening"))]
        sections = {"dataset": what, "source": source, "facts": facts}
        roots = ("dcpipe.data.data_stage", source)
        resources = Resources(mem_mb=2000, runtime=facts.minutes)
        return self._make("data", {"dataset": dataset}, {}, values, roots, sections, resources)

    def _whiten(self, dataset: str) -> Job:
        resolved, what = self.library.dataset(dataset)
        if not isinstance(what.whitening, Zca):
            raise UserError("this dataset is not whitened", where=f"{resolved.file}: whitening.kind")
        return self._make(
            "whiten",
            {"dataset": dataset},
            {"train": (self.job("data", dataset=dataset).outputs["train"],)},
            [keys(resolved, only=("whitening",))],
            ("dcpipe.data.whiten_stage",),
            {"whitening": what.whitening},
            Resources(what.whitening.threads, mem_mb=8000, runtime=120),
        )

    def _images(self, dataset: str) -> dict[str, tuple[str, ...]]:
        """The inputs of whoever reads images: the training store, and the whitening where the dataset has one."""
        inputs: dict[str, tuple[str, ...]] = {"train": (self.job("data", dataset=dataset).outputs["train"],)}
        if isinstance(self.library.dataset(dataset)[1].whitening, Zca):
            inputs["whitening"] = (self.job("whiten", dataset=dataset).outputs["whitening"],)
        return inputs

    def _convexify(self, dataset: str, experts: str, waypoints: str, shard: str) -> Job:
        resolved, what = self.library.experts(experts, dataset)
        check.waypoints(resolved, what, waypoints)
        made = self.job("experts", dataset=dataset, experts=experts, shard=shard)
        network = str(made.sections["network"])
        return self._make(
            "convexify",
            {"dataset": dataset, "experts": experts, "waypoints": waypoints, "shard": shard},
            {"trajectory": (made.outputs["trajectory"],), **self._images(dataset)},
            [keys(resolved, only=("store",)), native(self.library.dataset(dataset)[0], what.network)],
            ("dcpipe.experts.convexify_stage", names.module_of(network)),
            {"store": what.store, "network": network},
        )

    def _experts(self, dataset: str, experts: str, shard: str) -> Job:
        resolved_dataset, data = self.library.dataset(dataset)
        resolved, what = self.library.experts(experts, dataset)
        check.experts(resolved, what, data, int(shard))
        network = data.network if what.network == "native" else what.network
        values = [keys(resolved, without=("description", "count")), native(resolved_dataset, what.network)]
        return self._make(
            "experts",
            {"dataset": dataset, "experts": experts, "shard": shard},
            self._images(dataset),
            values,
            (EXPERTS[what.origin.kind], names.module_of(network)),
            {"experts": what, "network": network, "facts": registry.facts(data)},
            Resources(what.compute.threads, mem_mb=2000, runtime=240, gpu=1),
        )

    def _distill(self, dataset: str, method: str, ipc: str, set: str) -> Job:
        resolved_dataset, data = self.library.dataset(dataset)
        resolved, what = self.library.method(method, dataset, int(ipc))
        check.method(resolved, what, data, int(ipc))
        values = [keys(resolved, without=("description", "label"))]
        roots = ["dcpipe.distillation.distill_stage", *composition.modules(what)]
        inputs = self._images(dataset)
        sections: dict[str, object] = {"method": what}
        if what.experts:
            resolved_experts, experts = self.library.experts(what.experts, dataset)
            check.segments(resolved, what, resolved_experts, experts)
            inputs["trajectories"] = self._trajectories(dataset, what, experts.shards)
            shard = self.job("experts", dataset=dataset, experts=what.experts, shard=0)
            sections["network"] = shard.sections["network"]
            check.batch_norm(resolved, what, str(sections["network"]), experts)
            check_labels.experts(resolved, what, str(sections["network"]), experts)
            roots.append(names.module_of(str(sections["network"])))
            own = keys(resolved_experts, only=("network",))
            values += [own, native(resolved_dataset, experts.network)]
        elif what.network:
            check_episode.method(resolved, what, data)
            sections["network"] = data.network if what.network == "native" else what.network
            roots.append(names.module_of(str(sections["network"])))
            values.append(native(resolved_dataset, what.network))
        wildcards = {"dataset": dataset, "method": method, "ipc": ipc, "set": set}
        resources = Resources(what.compute.threads, mem_mb=2000, runtime=720, gpu=1 if what.outer else 0)
        return self._make("distill", wildcards, inputs, values, roots, sections, resources)

    def _trajectories(self, dataset: str, what: Method, shards: int) -> tuple[str, ...]:
        """The stores that a method reads: recorded ones, or the convex ones made of them."""
        words: dict[str, str | int] = {"dataset": dataset, "experts": str(what.experts)}
        path = what.matching.path if isinstance(what.matching, Trajectory) else None
        if isinstance(path, ConvexPath):
            jobs = [self.job("convexify", **words, waypoints=path.name, shard=shard) for shard in range(shards)]
            return tuple(job.outputs["path"] for job in jobs)
        return tuple(self.job("experts", **words, shard=shard).outputs["trajectory"] for shard in range(shards))

    def _evaluate(self, *, evaluation: str, network: str, **cell: str) -> Job:
        dataset = cell["dataset"]
        resolved_dataset, data = self.library.dataset(dataset)
        resolved, what = self.library.evaluation(evaluation, dataset, int(cell["ipc"]))
        check.evaluation(resolved, what, data, network)
        real = data.network if network == "native" else network
        values = [keys(resolved, without=("description",)), native(resolved_dataset, network)]
        store = self.job("data", dataset=dataset).outputs
        source = "synthetic" if what.selection == "last" else "snapshots"
        return self._make(
            "evaluate",
            {**cell, "evaluation": evaluation, "network": network},
            {
                "synthetic": (self.job("distill", **cell).outputs[source],),
                **self._images(dataset),
                "test": (store["test"],),
            },
            values,
            ("dcpipe.evaluation.evaluate_stage", names.module_of(real)),
            {"evaluation": what, "network": real},
            Resources(what.compute.threads, mem_mb=2000, runtime=120, gpu=1),
        )

    def _scores(self, experiment: str) -> tuple[Job, ...]:
        """The evaluations of an experiment: every combination of its runs, each once."""
        _, what = self.library.experiment(experiment)
        found: dict[str, Job] = {}
        for run in what.runs:
            cells: list[dict[str, str | int]] = [
                {"dataset": dataset, "method": method, "ipc": ipc, "set": index}
                for dataset in run.datasets
                for method in run.methods
                for ipc in run.ipc
                for index in range(run.sets)
            ]
            for cell in cells:
                for evaluation in run.evaluations:
                    for network in run.networks:
                        job = self.job("evaluate", **cell, evaluation=evaluation, network=network)
                        found.setdefault(job.name, job)
        return tuple(found.values())

    def _metrics(self, experiment: str) -> Job:
        resolved, _ = self.library.experiment(experiment)
        scores = self._scores(experiment)
        inputs = {"scores": tuple(job.outputs["scores"] for job in scores)}
        values = [keys(resolved, without=("title", "description"))]
        roots = ("dcpipe.evaluation.metrics_stage",)
        return self._make("metrics", {"experiment": experiment}, inputs, values, roots, {"scores": scores})

    def _report(self, experiment: str) -> Job:
        resolved, what = self.library.experiment(experiment)
        scores = self._scores(experiment)
        made = [self._makers[job.input("synthetic")] for job in scores]
        sets = tuple({job.name: job for job in made}.values())
        folder, payloads = results_folder(experiment), STAGES["report"].payloads
        shown = [keys(resolved, only=("title", "description")), *map(self._shown_of, sets)]
        job = Job(
            stage="report",
            wildcards={"experiment": experiment},
            inputs={
                "metrics": (self.job("metrics", experiment=experiment).outputs["metrics"],),
                "scores": tuple(job.outputs["scores"] for job in scores),
                **{name: tuple(job.outputs[name] for job in sets) for name in ("synthetic", "history")},
            },
            outputs={name: f"{folder}/{file}" for name, file in payloads.items()},
            params=merge(shown),
            command="",
            resources=Resources(),
            sections={"scores": scores, "sets": sets, "experiment": what},
        )
        return self._with_command(job)

    def _shown_of(self, made: Job) -> Values:
        words = made.wildcards
        preset, _ = self.library.method(words["method"], words["dataset"], int(words["ipc"]))
        return keys(preset, only=("label",))

    def _make(
        self,
        stage: str,
        wildcards: dict[str, str],
        inputs: Mapping[str, tuple[str, ...]],
        values: list[Values],
        roots: Iterable[str],
        sections: Mapping[str, object],
        resources: Resources | None = None,
    ) -> Job:
        row, roots = STAGES[stage], tuple(roots)
        if roots not in self._modules:
            self._modules[roots] = code_identity.reached(roots)
        modules = self._modules[roots]
        code = self._identity.of(modules)
        job = Job(
            stage=stage,
            wildcards=wildcards,
            inputs=inputs,
            outputs={name: path.format(**wildcards) for name, path in row.outputs.items()},
            params=merge([*values, {code_identity.FILE: dict(code)}]),
            neutral=neutral(values),
            command="",
            resources=resources or Resources(),
            modules=modules,
            sections=sections,
        )
        return self._with_command(job)

    def _with_command(self, job: Job) -> Job:
        command = STAGES[job.stage].command.format(**job.wildcards)
        for section, word in _WORDS.items():
            given = self.extra.get(section, {}).get(job.wildcards.get(word, ""))
            if given:  # no stage finds it by its name alone
                command = given.command
        return replace(job, command=f"{command} --log {job.log}")
