"""The file that `dcpipe new` writes: an experiment in YAML, with the reason of each choice as a comment."""

from dcpipe.commands.new.sizing import (
    MIN_TRAINED,
    NETWORKS,
    TEST_SHARE,
    TOO_SMALL_SHARE,
    Design,
    Prediction,
    TimeBudget,
    split_sizes,
)
from dcpipe.commands.new.survey import Survey
from dcpipe.params import file_schema

EXPERIMENT_TEMPLATE = """# yaml-language-server: $schema={schema}
# Written by `dcpipe new`, and yours from now on: change anything, then look at it with `dcpipe plan {file}`.
#
# {seen}
# {time}
title: {title}
description: {description}

datasets:
  {name}:
    description: {description}
    source:
      kind: folder
      # local.yaml says where this folder is on this machine
      name: {name}
      classes: {classes}
      # {channels_reason}
      channels: {channels}
      # {size_reason}
      image_size: {size}
      # preparing the data prints the line to put here; from then on other files are refused
      digest: null
    split:
      seed: 0
      # {tested_reason}
      test_per_class: {tested}
      validation_per_class: 0
      # {trained_reason}
      train_per_class: {trained}
    standardise: {{kind: from-train}}
    whitening: {{kind: none}}
    # {network_reason}
    network: {network}

experts:
  # networks trained on the real images, whose way MTT follows; papers train 100 of them for 50 epochs
  {name}-experts:
    base: plain
    count: {experts}
    # each in a job of its own, side by side where there are cores
    shard_experts: 1
    # {steps} steps in all
    epochs: {epochs}
    batch: {batch}

presets:
  # methods; what is not said here is as in the shipped presets dm and mtt
  # distribution matching: quick, and without experts; papers make 20,000 iterations
  {name}-dm:
    base: dm
    matching: {{real_batch: {real_batch}}}
    outer: {{iterations: {dm_iterations}, snapshot_every: {dm_iterations}}}
  # trajectory matching: slower, and usually better; papers make 5,000 iterations
  {name}-mtt:
    base: mtt
    matching:
      experts: {name}-experts
      segment: {{max_start_epoch: {start}}}
      inner_steps: {inner_steps}
    outer:
      iterations: {mtt_iterations}
      snapshot_every: {mtt_iterations}
      images: {{optimiser: {{learning_rate: 1000.0}}}}
      step_size: {{initial: 2.0e-2, optimiser: {{learning_rate: 1.0e-6}}}}

evaluations:
  # so many fresh networks are trained on each set, and tested
  {name}-scores:
    base: dsa-300
    networks: {networks}
    epochs: {evaluation_epochs}

runs:
  # random real images are what a distilled set must beat
{runs}
"""
RUN_TEMPLATE = """  - datasets: [{name}]
    methods: [random, {methods}]
    ipc: [{ipc}]
    sets: {sets}
    evaluations: [{name}-scores]
    networks: [native]"""


def experiment_text(name: str, survey: Survey, design: Design, prediction: Prediction, allowance: TimeBudget) -> str:
    """The YAML text of an experiment's file."""
    _, count = survey.rarest
    _, tested = split_sizes(survey)
    more = [ipc for ipc in design.ipc if ipc > 1]
    runs = [RUN_TEMPLATE.format(name=name, methods=f"{name}-dm, {name}-mtt", ipc=1, sets=design.sets)]
    runs += [RUN_TEMPLATE.format(name=name, methods=f"{name}-dm", ipc=ipc, sets=design.sets) for ipc in more]
    return EXPERIMENT_TEMPLATE.format(
        schema=f"{file_schema.FOLDER}/experiments.json",
        file=f"{name}.yaml",
        seen=summary(survey),
        time=time_text(prediction, allowance.cores),
        name=name,
        title=name.replace("-", " ").capitalize(),
        description=f"{survey.images} photographs of {design.classes} classes.",
        classes=design.classes,
        channels=survey.channels,
        channels_reason="colour" if survey.channels == 3 else "all images are grey",
        size=design.image_size,
        size_reason=_size_reason(survey, design, allowance),
        tested="null" if tested is None else tested,
        tested_reason="the folder has a test part of its own" if tested is None else _tested_reason(tested, count),
        trained=design.trained,
        trained_reason=_trained_reason(survey, design, allowance),
        network=design.network,
        experts=design.experts,
        epochs=design.epochs,
        steps=design.epochs * -(-design.trained * design.classes // design.batch),
        network_reason=_network_reason(design, allowance),
        batch=design.batch,
        real_batch=design.real_batch,
        dm_iterations=design.distribution_iterations,
        start=max(0, min(design.epochs // 2, design.epochs - 2)),
        inner_steps=design.inner_steps,
        mtt_iterations=design.trajectory_iterations,
        networks=design.networks,
        evaluation_epochs=design.evaluation_epochs,
        runs="\n".join(runs),
    )


def summary(survey: Survey) -> str:
    """One line on what a folder holds."""
    rarest, count = survey.rarest
    middle = survey.median_side
    tests = f", and {sum(survey.test_counts.values()):,} to test on" if survey.test_counts else ""
    sizes = f"{survey.sides[0]}" if survey.sides[0] == survey.sides[-1] else f"{survey.sides[0]} to {survey.sides[-1]}"
    between = "" if survey.sides[0] == survey.sides[-1] else f" (median {middle})"
    colours = "in colour" if survey.channels == 3 else "grey"
    total = sum(survey.counts.values())
    fewest = f"{count:,} in the rarest, {rarest}" if total != count * len(survey.counts) else f"{count:,} in each"
    return (
        f"{len(survey.counts)} classes, {total:,} images ({fewest}){tests}; "
        f"shorter side of {sizes} pixels{between}; {colours}"
    )


def time_text(prediction: Prediction, cores: int) -> str:
    """One line on how long it takes."""
    side = prediction.seconds_on(cores)
    own = "1 core" if cores == 1 else f"{cores} cores"
    return (
        f"predicted from the measured speed of this machine: {duration_text(side)} by Snakemake on {own}, "
        f"{duration_text(prediction.total_seconds)} one job after the other"
    )


def duration_text(seconds: float) -> str:
    """A time in the unit that a person reads."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _size_reason(survey: Survey, design: Design, allowance: TimeBudget) -> str:
    share = 1 - survey.share_below(design.image_size)
    reason = (
        f"pixels per side; {share:.0%} of the images have that many"
        if share
        else "pixels per side; the images have fewer"
    )
    larger = next((size for size in sorted(NETWORKS) if size > design.image_size), None)
    if larger is None:
        return reason
    lacking = survey.share_below(larger)
    if lacking > TOO_SMALL_SHARE:
        return f"{reason}, and {lacking:.0%} have fewer than {larger}"
    return f"{reason}; {larger} would keep this machine longer than {duration_text(allowance.seconds)}"


def _network_reason(design: Design, allowance: TimeBudget) -> str:
    usual, *_ = NETWORKS[design.image_size]
    if design.network == usual:
        return f"as papers take it for {design.image_size}x{design.image_size} pixels"
    return f"half as wide as {usual}, which would keep this machine longer than {duration_text(allowance.seconds)}"


def _tested_reason(tested: int, count: int) -> str:
    share = f"{TEST_SHARE:.0%} of the rarest class" if tested == int(count * TEST_SHARE) else "enough to score by"
    return f"set aside and never trained on: {share}"


def _trained_reason(survey: Survey, design: Design, allowance: TimeBudget) -> str:
    left, _ = split_sizes(survey)
    rarest, _ = survey.rarest
    if design.trained == left:
        return f"all that are left of the rarest class, {rarest}, and as many of each other class"
    if design.trained > MIN_TRAINED:
        return f"of {left}; more would keep this machine longer than {duration_text(allowance.seconds)}"
    return f"of {left}; with fewer nothing can be learned"
