"""`dcpipe methods`: every preset, its composition, its source, and the rows that papers print of it."""

from pathlib import Path

from dcpipe.params import neutral, params_files, resolve
from dcpipe.params.method import Method
from dcpipe.params.resolve import ResolvedSection
from dcpipe.report.rows import published_rows

RECONSTRUCTION = "reconstruction"


def preset_lines(root: Path) -> list[str]:
    """A block of lines per preset.

    Raises: UserError if a preset is not readable.
    """
    blocks, later = list[str](), neutral.optional_knobs(Method)
    for name in params_files.available_names(root, "methods"):
        resolved = resolve.resolve_section(root, "methods", name, later=later)
        label, description = (str(resolved.leaves[key].value) for key in ("label", "description"))
        mark = " [reconstruction]" if RECONSTRUCTION in f"{label}{description}" else ""
        base = next((f"; {link.value} otherwise" for link in resolved.bases), "")
        blocks += [
            f"{name}: {description.strip()}{mark}",
            f"    matching {resolved.leaves['matching.kind'].value}; {_settings_text(resolved)}{base}",
            f"    from {_source(resolved)}",
            f"    papers print results for {_printed(name)}",
        ]
    return blocks


def _settings_text(resolved: ResolvedSection) -> str:
    """Every axis with a value but `none`; of a variant those that it sets itself."""
    own = {
        key: leaf.value
        for key, leaf in resolved.leaves.items()
        if key.startswith(("matching.", "outer.")) and leaf.origin.file == resolved.file
    }
    kinds = {key.removesuffix(".kind"): value for key, value in own.items() if key.endswith(".kind")}
    kinds.pop("matching", None)
    if resolved.bases and not kinds:
        kinds = own
    settings = [
        f"{key.rpartition('.')[2].replace('_', ' ')} {value}" for key, value in kinds.items() if value != "none"
    ]
    return ", ".join(settings) or "nothing else"


def _source(resolved: ResolvedSection) -> str:
    leaves = [resolved.leaves.get(key) for key in ("matching.kind", "label", "description")]
    own = [leaf.source for leaf in resolved.leaves.values() if leaf.origin.file == resolved.file and leaf.source]
    first = next((leaf.source for leaf in leaves if leaf and leaf.source and leaf.origin.file == resolved.file), None)
    return first or (own[0] if own else "ours")


def _printed(method: str) -> str:
    """The cells that tables print, by dataset."""
    sizes_of: dict[str, list[str]] = {}
    for row in published_rows().values():
        if row.method == method:
            sizes_of.setdefault(row.dataset, []).append("all" if row.ipc is None else str(row.ipc))
    return "; ".join(f"{dataset} ipc {' '.join(sizes)}" for dataset, sizes in sizes_of.items()) or "no table"
