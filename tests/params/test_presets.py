"""Laws of the committed params: every file resolves wherever it is used, and every value says where it is from."""

from pathlib import Path

import pytest

import repository
from dcpipe.params import show
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.experts import Experts
from dcpipe.params.library import ParamsLibrary
from dcpipe.params.method import Method
from dcpipe.params.neutral import optional_knobs
from dcpipe.params.params_files import available_names
from dcpipe.params.resolve import ResolvedSection, base_chain, resolve_section
from dcpipe.params.strict_yaml import read_yaml
from dcpipe.params.value_origin import DEFAULT
from dcpipe.workflow.graph import Graph

ROOT = repository.ROOT
SOURCED = {"methods": Method, "experts": Experts, "evaluations": Evaluation}
FILES = [(section, name) for section in SOURCED for name in available_names(ROOT, section)]


def _contexts(section: str, name: str) -> list[tuple[str, int]]:
    """Every dataset, and every ipc that some override of the file or of its bases speaks of."""
    ipcs = {1}
    for file in base_chain(ROOT, section, name):
        overrides = read_yaml(ROOT / f"params/{section}/{file}.yaml").get("overrides") or {}
        ipcs |= {int(key[3:]) for values in overrides.values() for key in values if key.startswith("ipc")}
    return [(dataset, ipc) for dataset in available_names(ROOT, "datasets") for ipc in sorted(ipcs)]


def _resolved(library: ParamsLibrary, section: str, name: str, dataset: str, ipc: int) -> ResolvedSection:
    if section == "experts":
        return library.experts(name, dataset)[0]
    ask = {"methods": library.method, "evaluations": library.evaluation}[section]
    return ask(name, dataset, ipc)[0]


@pytest.mark.slow
def test_every_experiment_resolves(subtests: pytest.Subtests) -> None:
    for experiment in available_names(ROOT, "experiments"):
        with subtests.test(experiment=experiment):
            graph = Graph(ROOT)
            jobs = graph.experiment_jobs(experiment)
            assert {"data", "distill", "evaluate", "metrics", "report"} <= {job.stage for job in jobs}
            assert len(list(show.param_lines(graph, experiment))) > len(jobs)


@pytest.mark.slow
def test_every_file_resolves_everywhere_and_every_value_has_a_source(subtests: pytest.Subtests) -> None:
    """For every dataset, and for each ipc that the file speaks of."""
    library = ParamsLibrary(ROOT)
    for section, name in FILES:
        with subtests.test(section=section, name=name):
            for dataset, ipc in _contexts(section, name):
                resolved = _resolved(library, section, name, dataset, ipc)
                assert resolved.leaves
                unsaid = {
                    "description",
                    "label",
                    *(key for key in resolved.neutral if resolved.leaves[key].origin.file == DEFAULT),
                }
                without = [key for key, leaf in resolved.leaves.items() if not leaf.source and key not in unsaid]
                assert not without, f"{name} for {dataset}, ipc {ipc}: nobody says where {without} are from"


def test_every_cell_that_a_method_has_values_for_can_be_planned(subtests: pytest.Subtests) -> None:
    """In range: segments within the experts' epochs, batches within the set, passes within the inner steps."""
    graph = Graph(ROOT)
    for name in available_names(ROOT, "methods"):
        with subtests.test(method=name):
            for dataset, values in (read_yaml(ROOT / f"params/methods/{name}.yaml").get("overrides") or {}).items():
                for ipc in {1, *(int(key[3:]) for key in values if key.startswith("ipc"))}:
                    assert graph.make_job("distill", dataset=dataset, method=name, ipc=ipc, set=0).outputs


def test_every_dataset_can_be_planned(subtests: pytest.Subtests) -> None:
    graph = Graph(ROOT)
    for name in available_names(ROOT, "datasets"):
        with subtests.test(dataset=name):
            assert graph.make_job("data", dataset=name).outputs


def test_every_source_speaks_of_a_key_that_is_there(subtests: pytest.Subtests) -> None:
    for section, name in FILES:
        with subtests.test(section=section, name=name):
            tree = read_yaml(ROOT / f"params/{section}/{name}.yaml")
            later = optional_knobs(SOURCED[section])
            keys = {leaf.origin.key for leaf in resolve_section(ROOT, section, name, later=later).leaves.values()}
            overrides = tree.get("overrides") or {}
            places = [dataset for dataset in overrides]
            places += [f"{d}.{key}" for d, values in overrides.items() for key in values if key.startswith("ipc")]
            for place in places:
                found = resolve_section(ROOT, section, name, context=(place,), later=later)
                keys |= {leaf.origin.key for leaf in found.leaves.values()}
            for prefix in (tree.get("sources") or {}).keys() - {"all"}:
                assert any(key == prefix or key.startswith(f"{prefix}.") for key in keys), f"sources: {prefix}"


def test_no_params_file_is_left_over() -> None:
    """A file in a folder that no section reads would look like a setting and be none."""
    known = {"datasets", "experts", "methods", "evaluations", "applications", "experiments"}
    assert {path.parent.relative_to(ROOT / "params") for path in (ROOT / "params").rglob("*")} == {
        Path(),
        *map(Path, known),
    }
