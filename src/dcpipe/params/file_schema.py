"""JSON Schemas of params files as people write them, for editors: descriptions, completion, misspelt keys.

`described.schema` is of a section as it is resolved, with every knob. A file may leave knobs out (it has a `base`, or
its values stand under `overrides`) and has keys of its own; an experiment's file may bring along other sections. Such a
schema finds misspelt keys and values that are never possible; what is missing or impossible together, only the loader
finds.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic.json_schema import JsonSchemaValue

from dcpipe.params import described
from dcpipe.params.params_files import INLINE_SECTIONS
from dcpipe.params.resolve import OVERRIDABLE
from dcpipe.provenance.durable import write_atomically

FOLDER = ".dcpipe/schema"  # where a project keeps them; not in git, for they belong to the installed version
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_OWN: Mapping[str, JsonSchemaValue] = {
    "base": {"type": "string", "description": "the file of this section that this one is a variant of"},
    "sources": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "where values come from, by the beginning of their keys",
    },
    "format": {"type": "integer", "description": "format of the file; 1 where it does not say"},
    "replaces": {"const": "shipped", "description": "this file stands for the shipped one of its name"},
}
_IPC: JsonSchemaValue = {"anyOf": [{"const": "all"}, {"type": "array", "items": {"type": "integer", "minimum": 1}}]}
_COVERS: JsonSchemaValue = {
    "anyOf": [{"const": "all"}, {"type": "object", "additionalProperties": _IPC}],
    "description": "the cells that the sources state values for: lists of ipc by dataset, or all",
}
_INHERITS: JsonSchemaValue = {
    "type": "array",
    "items": {"type": "string"},
    "description": "knobs that keep the values of the section that this one replaces",
}
_NAME: JsonSchemaValue = {"type": "string", "description": "the experiment's name; without it, the file's own"}


def file_schema(section: str) -> JsonSchemaValue:
    """The JSON Schema of the files of a section. Raises: UserError for a section that does not exist."""
    definitions = _definitions(section)
    root = definitions[section]
    if section == "experiments":
        brought = {}
        for key, other in INLINE_SECTIONS.items():
            definitions |= _definitions(other)
            brought[key] = {
                "type": "object",
                "additionalProperties": {"$ref": f"#/$defs/{other}"},
                "description": f"NAME: what would be params/{other}/NAME.yaml",
            }
        root = {**root, "properties": {**root["properties"], **brought, "name": _NAME}}
    return {"$schema": _DIALECT, **root, "$defs": definitions}


def write_schemas(folder: Path) -> list[Path]:
    """Write the schema of each section as FOLDER/<section>.json; returns the paths."""
    paths = []
    for section in described.TYPED:
        paths.append(folder / f"{section}.json")
        write_atomically(paths[-1], (json.dumps(file_schema(section), indent=1) + "\n").encode())
    return paths


def _definitions(section: str) -> dict[str, JsonSchemaValue]:
    """The schema of a section's file by the section's name, and all that it refers to, by `<section>.<class>`."""
    whole = _lenient(described.section_schema(section), section)
    parts = {f"{section}.{name}": part for name, part in whole.pop("$defs", {}).items()}
    del whole["$schema"]
    properties = {**whole["properties"], **_OWN}
    if section == "methods":
        properties["covers"] = _COVERS
    if section in OVERRIDABLE:
        values = {**whole, "title": f"{whole['title']} in part"}
        nested = {"^ipc[0-9]+$": {"$ref": f"#/$defs/{section}:values"}} if OVERRIDABLE[section] else {}
        parts[f"{section}:values"] = values
        parts[f"{section}:override"] = {**values, "patternProperties": nested}
        properties["overrides"] = {
            "type": "object",
            "additionalProperties": {"$ref": f"#/$defs/{section}:override"},
            "description": "values for some datasets, by the dataset's name",
        }
    return {section: {**whole, "properties": properties}, **parts}


def _lenient(schema: JsonSchemaValue, section: str) -> JsonSchemaValue:
    """A schema that asks for no key, with references to the section's own definitions."""
    found: JsonSchemaValue = {}
    for key, value in schema.items():
        if key in {"required", "discriminator"}:
            continue
        if key in {"properties", "$defs"}:
            found[key] = {name: _lenient(part, section) for name, part in value.items()}
            if "kind" in value:
                found[key]["inherits"] = _INHERITS
        elif key == "$ref":
            found[key] = value.replace("#/$defs/", f"#/$defs/{section}.")
        elif key in {"oneOf", "anyOf"}:
            found["anyOf"] = [_lenient(part, section) for part in value]
        else:
            found[key] = _lenient(value, section) if isinstance(value, dict) else value
    return found
