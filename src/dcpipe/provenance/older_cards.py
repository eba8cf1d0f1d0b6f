"""Cards of older formats, read as the present one.

Format 1 states no number. What an experiment's own file brought along stood in it under that file's name, as in
`animals.yaml#presets.mtt-long`; format 2 keys every value by section and name, whatever file it stands in. Format 3
holds a digest of the card itself.
"""

import re
from collections.abc import Mapping

_SECTIONS = {"presets": "methods", "datasets": "datasets", "experts": "experts", "evaluations": "evaluations"}
_BROUGHT = re.compile(rf"[^/#]+\.ya?ml#({'|'.join(_SECTIONS)})\.([a-z0-9-]+)")
_EXPERIMENT = re.compile(r"(?:published\.yaml#([a-z0-9-]+)|([^/#]+)\.ya?ml)")


def migrated(card: Mapping[str, object]) -> dict[str, object]:
    """A card of format 1 or 2 as one of format 3; its files are the same."""
    params = card.get("params")
    named = (
        {_migrated_path(str(file)): values for file, values in params.items()} if isinstance(params, dict) else params
    )
    return {**card, "params": named, "format": 3}


def _migrated_path(name: str) -> str:
    brought, experiment = _BROUGHT.fullmatch(name), _EXPERIMENT.fullmatch(name)
    if brought:
        return f"params/{_SECTIONS[brought.group(1)]}/{brought.group(2)}.yaml"
    if experiment:
        return f"params/experiments/{experiment.group(1) or experiment.group(2)}.yaml"
    return name
