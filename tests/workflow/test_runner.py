"""Laws of `dcpipe run`: it makes what the stages make, leaves alone what is current, and can be stopped anywhere."""

import json
import logging
import mmap
import os
import resource
import shutil
import subprocess
import sys
from collections import Counter
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from dcpipe import cli
from dcpipe.commands import status
from dcpipe.engines import dvc_yaml
from dcpipe.errors import UserError
from dcpipe.params import experiment_file, params_files
from dcpipe.provenance.checkpoint import ResumeState
from dcpipe.workflow import costs
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.runner import ExperimentRunner, JobOutcome, OutcomeSummary, parse_stage_names
from dcpipe.workflow.stopping import request_stop, stop_requested, stopping_on_signals

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("runner")]  # one worker makes the module's fixture

REPOSITORY = Path(__file__).parents[2]
ENGINES = "snakemake snakemake_interface_common dvc dvc_data dvc_objects scmrepo"
BEYOND_THE_CORE = f"{ENGINES} sklearn scipy jinja2 pandas matplotlib torchvision kornia ruamel"
NUMBERS = "experts,distill,evaluate,metrics"
ARTIFACTS = f"data,{NUMBERS}"
MTT = {f"{stage}_tiny_mtt_ipc{ipc}_set0" for stage in ("distill", "evaluate") for ipc in (1, 2)}
OWN_DATA = """
title: Images of one's own
description: A test.
runs: [{datasets: [own], methods: [random], ipc: [1], sets: 1, evaluations: [quick], networks: [native]}]
"""
ELSEWHERE = """
title: From elsewhere
description: A composition that the repository does not have.
presets:
  mtt-hot: {base: mtt, description: A test., label: Hot, outer: {images: {optimiser: {momentum: 0.75}}}}
  mtt-hotter: {base: mtt-hot, overrides: {tiny: {ipc1: {outer: {images: {optimiser: {learning_rate: 80.0}}}}}}}
runs:
  - {datasets: [tiny], methods: [mtt-hot, mtt-hotter], ipc: [1], sets: 1, evaluations: [digits], networks: [native]}
"""


def _new_root(to: Path) -> Path:
    shutil.copytree(REPOSITORY / "params", to / "params")
    for name in ("constraints.txt", "code_identity.yaml"):
        shutil.copy2(REPOSITORY / name, to / name)
    return to


def _child(root: Path, packages: str, *commands: str) -> tuple[list[int], str]:
    """Commands in a process that cannot import some packages: their exit codes, and what they said."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "DCPIPE_DATA": str(root / "own")}
    script = str(REPOSITORY / "tests/without.py")
    done = subprocess.run(
        [sys.executable, script, packages, *commands],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    said, _, codes = done.stdout.rpartition("\n")
    return json.loads(codes), said + done.stderr


def _artifacts(root: Path, below: str = "artifacts") -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in (root / below).rglob("*") if path.is_file()}


def _states(outcomes: list[JobOutcome]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.state, set()).add(outcome.job.name.removesuffix("_digits_native"))
    return found


def _run(root: Path, stages: str = ARTIFACTS) -> dict[str, set[str]]:
    """Run tiny in this process: the names of the jobs by what became of them."""
    return _states(list(ExperimentRunner(Graph(root), parse_stage_names(stages)).run_experiment("tiny")))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the images of tiny and an .npz of one's own, and no other artifact. Read only."""
    root = _new_root(tmp_path_factory.mktemp("prepared"))
    execute_job(Graph(root).make_job("data", dataset="tiny"), root)
    images, labels = load_digits(return_X_y=True)
    (root / "own").mkdir()
    np.savez(root / "own/own.npz", images=(images.reshape(-1, 8, 8) * 15).astype(np.uint8), labels=labels)
    source = "source: {kind: folder, name: own, classes: 10, channels: 1, image_size: 8, digest: null}\n"
    split = "split: {seed: 0, test_per_class: 80, validation_per_class: 0, train_per_class: 20}\n"
    rest = "description: A test.\nstandardise: {kind: from-train}\nwhitening: {kind: none}\nnetwork: convnet1-w4\n"
    (root / "params/datasets/own.yaml").write_text(source + split + rest)
    (root / "params/evaluations/quick.yaml").write_text("base: digits\nnetworks: 1\nepochs: 2\n")
    (root / "own/pictures.yaml").write_text(OWN_DATA)
    return root


@pytest.fixture(scope="module")
def core(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int], str]:
    """The same root after experts to metrics, and an experiment on the .npz, without any optional package."""
    root = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("core") / "root"))
    commands = (f"dcpipe run tiny --stages {NUMBERS}", "dcpipe run own/pictures.yaml")
    return root, *_child(root, BEYOND_THE_CORE, *commands)


@pytest.fixture
def tiny(core: tuple[Path, list[int], str], tmp_path: Path) -> Path:
    """A copy of a root with every artifact of tiny."""
    return Path(shutil.copytree(core[0], tmp_path / "root"))


def test_everything_but_the_report_runs_on_the_core_dependencies(core: tuple[Path, list[int], str]) -> None:
    root, codes, said = core
    assert codes == [0, 0], said
    assert "11 made, 0 current:" in said
    assert "4 made, 0 current, 1 skipped:" in said, said
    assert (root / "logs/metrics/metrics_pictures.log").is_file()
    assert said.count("report_pictures: not made; jinja2 is not installed: `pip install 'dcpipe[report]'`") == 1
    assert not (root / "results").exists()


@pytest.mark.slow
def test_by_hand_without_the_engines_is_the_same_bit_for_bit(core: tuple[Path, list[int], str], tmp_path: Path) -> None:
    root = _new_root(tmp_path)
    commands = [job.command for job in Graph(root).experiment_jobs("tiny")]
    assert {command.split()[1] for command in commands} == {
        "data", "experts", "distill", "evaluate", "metrics", "report",
    }  # fmt: skip
    codes, said = _child(root, ENGINES, *commands)
    assert codes == [0] * len(commands), said
    found = _artifacts(root)
    assert {name: content for name, content in _artifacts(core[0]).items() if name in found} == found
    assert (root / "results/tiny/report.html").is_file()


def test_what_is_current_is_left_alone_a_change_reruns_what_it_reaches(tiny: Path) -> None:
    path = tiny / "params/methods/mtt.yaml"
    path.write_text(path.read_text().replace("learning_rate: 50.0", "learning_rate: 70.0"))
    made = {"distill_tiny_mtt_ipc1_set0", "evaluate_tiny_mtt_ipc1_set0", "metrics_tiny"}
    assert _run(tiny)["made"] == made
    assert set(_run(tiny)) == {"current"}


def test_what_is_made_again_to_the_same_bytes_reruns_nothing_after_it(tiny: Path) -> None:
    before = _artifacts(tiny)
    (tiny / "artifacts/experts/tiny/plain/shard0/trajectory.zarr/zarr.json").write_text("{}")
    assert _run(tiny)["made"] == {"experts_tiny_plain_shard0"}
    assert _artifacts(tiny) == before


def test_a_run_stopped_within_a_job_goes_on_to_the_same_bytes(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, asked = _artifacts(tiny, "artifacts/synthetic"), count(1)
    shutil.rmtree(tiny / "artifacts/synthetic/tiny/mtt")

    def due(_: ResumeState) -> bool:  # looked at in every iteration: in the third, the time is up
        is_third = next(asked) == 3
        if is_third:
            request_stop()
        return is_third

    monkeypatch.setattr(ResumeState, "is_due", due)
    first = _run(tiny)
    assert first["stopped"] == {"distill_tiny_mtt_ipc1_set0"}
    assert first["left"] == MTT - first["stopped"] | {"metrics_tiny"}
    assert "made" not in first
    assert len(list((tiny / "state").glob("*/distill.state"))) == 1
    assert not stop_requested()
    assert _run(tiny)["made"] == {name for name in MTT if name.startswith("distill")}, "the rest has its inputs' bytes"
    assert _artifacts(tiny, "artifacts/synthetic") == before


def test_at_the_end_of_the_budget_nothing_is_begun_and_the_code_is_75(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(tiny / "artifacts/metrics")
    monkeypatch.chdir(tiny)
    monkeypatch.setattr(logging.getLogger("dcpipe"), "handlers", [])
    for words, code in (([], 75), (["--stages", "data"], 0)):
        monkeypatch.setattr(sys, "argv", ["dcpipe", "run", "tiny", "--budget", "0", "--unrecorded", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert left.value.code == code
    assert "0 made, 11 current, 2 left (from metrics_tiny on; the same command continues)" in capsys.readouterr().out
    assert not (tiny / "artifacts/metrics").exists()


def test_the_time_limit_stops_as_a_signal_does_and_outlasts_a_deaf_job() -> None:
    with stopping_on_signals(after_seconds=0.01):
        with stopping_on_signals():
            while not stop_requested():
                pass
        assert stop_requested()
    assert not stop_requested()


def test_a_failure_takes_along_what_needs_it_and_nothing_else(tiny: Path) -> None:
    shutil.rmtree(tiny / "artifacts/synthetic")
    shutil.rmtree(tiny / "artifacts/experts/tiny/plain/shard1")
    (tiny / "artifacts/experts/tiny/plain/shard1").write_text("in the way")
    outcomes = list(ExperimentRunner(Graph(tiny)).run_experiment("tiny"))
    states = _states(outcomes)
    assert states["failed"] == {"experts_tiny_plain_shard1"}
    assert states["made"] == {"distill_tiny_random_ipc1_set0", "distill_tiny_random_ipc2_set0"}
    assert states["blocked"] == MTT | {"metrics_tiny", "report_tiny"}
    (failed,) = (outcome for outcome in outcomes if outcome.error)
    assert "artifacts/experts/tiny/plain/shard1: cannot be written (" in str(failed.error)
    tally = OutcomeSummary()
    lines = [tally.add_outcome(outcome) for outcome in outcomes]
    assert "distill_tiny_mtt_ipc1_set0: not made; needs experts_tiny_plain_shard1" in lines
    assert tally.exit_code == 1


def test_stages_run_alone_and_name_the_one_they_lack(prepared: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(prepared, tmp_path / "root"))
    outcomes = list(ExperimentRunner(Graph(root), parse_stage_names("distill")).run_experiment("tiny"))
    assert Counter(outcome.state for outcome in outcomes) == {"made": 2, "blocked": 2}
    told = "needs experts_tiny_plain_shard0, which is not current: add experts to --stages"
    assert {outcome.text for outcome in outcomes if outcome.state == "blocked"} == {told}
    assert _run(root, "experts, distill")["made"] == {
        "experts_tiny_plain_shard0", "experts_tiny_plain_shard1", *(name for name in MTT if name.startswith("distill")),
    }  # fmt: skip
    with pytest.raises(UserError, match="there is no stage 'distil'; did you mean distill"):
        parse_stage_names("experts,distil")


def _write(to: Path, text: str) -> str:
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(text)
    return str(to)


def test_an_experiment_from_elsewhere_makes_what_it_would_make_inside(tiny: Path, tmp_path: Path) -> None:
    experiments = params_files.available_names(tiny, "experiments")
    compiled = dvc_yaml.expected_texts(Graph(tiny), experiments)
    file = experiment_file.load_experiment(tiny, _write(tmp_path / "a/mine.yaml", ELSEWHERE))
    graph = Graph(tiny, file.inline_sections)
    states = _states(list(ExperimentRunner(graph).run_experiment(file.name)))
    assert {"metrics_mine", "report_mine", "distill_tiny_mtt-hot_ipc1_set0"} <= states["made"]
    assert "dcpipe distill tiny mtt-hot" in (tiny / "results/mine/report.html").read_text()
    assert dvc_yaml.expected_texts(Graph(tiny), experiments) == compiled, "nothing is written before it is asked for"
    found = _artifacts(tiny, "artifacts/synthetic/tiny/mtt-hotter")
    assert not any(str(tmp_path).encode() in content for content in found.values())
    for method, text in (
        ("mtt-hot", "base: mtt\nouter: {images: {optimiser: {momentum: 0.75}}}"),
        ("mtt-hotter", "base: mtt-hot"),
    ):
        _write(tiny / f"params/methods/{method}.yaml", text + "\n")
    rate = "overrides: {tiny: {ipc1: {outer: {images: {optimiser: {learning_rate: 80.0}}}}}}\n"
    _write(tiny / "params/methods/mtt-hotter.yaml", "base: mtt-hot\n" + rate)
    execute_job(Graph(tiny).make_job("distill", dataset="tiny", method="mtt-hotter", ipc=1, set=0), tiny)
    after = _artifacts(tiny, "artifacts/synthetic/tiny/mtt-hotter")
    assert after == found, "a preset that moves into params/ is the same preset"


@pytest.mark.parametrize("to", ["b/mine.yaml", "a/renamed.yaml"])
def test_copying_or_renaming_an_experiment_makes_nothing_stale(to: str, tiny: Path, tmp_path: Path) -> None:
    file = experiment_file.load_experiment(tiny, _write(tmp_path / "a/mine.yaml", f"name: of-mine\n{ELSEWHERE}"))
    assert file.name == "of-mine"
    list(
        ExperimentRunner(Graph(tiny, file.inline_sections), ("distill", "evaluate", "metrics")).run_experiment(
            file.name
        )
    )
    file = experiment_file.load_experiment(tiny, _write(tmp_path / to, f"name: of-mine\n{ELSEWHERE}"))
    assert file.name == "of-mine"
    assert {one.state for one in status.experiment_status(Graph(tiny, file.inline_sections), file.name)} == {"done"}


def test_a_definition_that_is_in_params_too_is_one_if_it_is_equal(tiny: Path, tmp_path: Path) -> None:
    path = _write(tmp_path / "mine.yaml", ELSEWHERE)
    file = experiment_file.load_experiment(tiny, path)
    before = {job.name: job.params for job in Graph(tiny, file.inline_sections).experiment_jobs(file.name)}
    hot = "base: mtt\ndescription: A test.\nlabel: Hot\nouter: {images: {optimiser: {momentum: 0.75}}}\n"
    _write(tiny / "params/methods/mtt-hot.yaml", f"format: 1\n{hot}")
    file = experiment_file.load_experiment(tiny, path)
    assert set(file.inline_sections["methods"]) == {"mtt-hot", "mtt-hotter"}
    assert {job.name: job.params for job in Graph(tiny, file.inline_sections).experiment_jobs(file.name)} == before
    _write(tiny / "params/methods/mtt-hot.yaml", hot.replace("0.75", "0.5"))
    with pytest.raises(
        UserError, match=r"mine\.yaml: presets\.mtt-hot: mtt-hot has another definition in params/methods/mtt"
    ):
        experiment_file.load_experiment(tiny, path)


REFUSED = {
    (
        "tiny.yaml",
        ELSEWHERE,
    ): "tiny.yaml: tiny has another definition in params/experiments/tiny.yaml (title differs); ",
    (
        "My.yaml",
        ELSEWHERE,
    ): "My.yaml: 'My' is not a valid name: write lower-case letters and digits, with single hyphens between them; ",
    ("x.yaml", "base: mtt\nlabel: a"): "x.yaml: has no runs, so it is not an experiment; ",
    ("x.yaml", "label: a"): "x.yaml: has no runs, so it is not an experiment; ",
    (
        "x.yaml",
        ELSEWHERE.replace("mtt-hot:", "mtt:"),
    ): "x.yaml: presets.mtt: mtt has another definition in params/methods/mtt.yaml (base differs); ",
    ("x.yaml", ELSEWHERE.replace("mtt-hot:", "mtt-cold:")): "params/methods/mtt-hot.yaml: there is no methods file",
    (
        "x.yaml",
        ELSEWHERE.replace("momentum", "momentun"),
    ): "x.yaml: presets.mtt-hot: unknown key outer.images.optimiser.momentun",
    ("x.yaml", ELSEWHERE.replace("0.75", "7.5")): "x.yaml: presets.mtt-hot.outer.images.optimiser.momentum: ",
    ("x.yaml", f"{ELSEWHERE}format: 2"): "x.yaml: was written by a newer dcpipe (format 2; this one reads 1); upgrade",
    (
        "x.yaml",
        f"{ELSEWHERE}name: Mine",
    ): "x.yaml: 'Mine' is not a valid name: write lower-case letters and digits, with single hyphens ",
    ("x.yaml", "presets: 3\nruns: []"): "x.yaml: presets must be a mapping; ",
    ("x.yaml", "presets: {a: 3}\nruns: []"): "x.yaml: presets.a must be a mapping; ",
}


def _plan(path: str) -> None:
    file = experiment_file.load_experiment(REPOSITORY, path)
    Graph(REPOSITORY, file.inline_sections).experiment_jobs(file.name)


@pytest.mark.parametrize(("name", "text"), REFUSED)
def test_an_experiment_from_elsewhere_is_refused_with_file_and_key(name: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        _plan(_write(tmp_path / name, text))
    told = str(caught.value).replace(f"{tmp_path}/", "")
    assert told.startswith(REFUSED[name, text])


def test_a_path_into_the_params_is_the_name_and_a_name_is_itself() -> None:
    by_path = experiment_file.load_experiment(REPOSITORY, str(REPOSITORY / "params/experiments/tiny.yaml"))
    assert by_path == experiment_file.load_experiment(REPOSITORY, "tiny")
    assert (by_path.name, by_path.definitions) == ("tiny", ())


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="only Linux measures anew")
def test_memory_of_an_earlier_job_is_not_the_cost_of_the_next(tiny: Path) -> None:
    with mmap.mmap(-1, 2**29) as held:
        held.write(bytes(2**29))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    job = Graph(tiny).make_job("metrics", experiment="tiny")
    execute_job(job, tiny)
    noted = costs.read_costs(tiny / job.costs_path) or {}
    assert int(str(noted["peak_bytes"])) < most - 2**28
