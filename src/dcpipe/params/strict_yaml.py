"""YAML as this project reads it: the YAML 1.2 core schema, nothing silently accepted.

PyYAML alone reads ``1e-5`` as text, ``no`` as False, ``1:30`` as 90 and lets a second key win over the first;
DVC, which reads and rewrites the same files, does not. Here every way of writing a float is a float, only
true and false are booleans, and a duplicate or non-text key is an error that names file and line.
"""

import re
from collections.abc import Hashable
from copy import deepcopy
from functools import cache, lru_cache
from pathlib import Path
from typing import TypeGuard

import yaml
from yaml.composer import Composer

from dcpipe.errors import UserError

Value = bool | int | float | str | list["Value"] | dict[str, "Value"] | None
Tree = dict[str, Value]


MAX_PARTS = 100_000  # values of a file; the longest here has a few hundred
LARGEST = 2**22  # letters of a file; the longest here has 2**15


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's name)
    # only the types of JSON: an explicit tag such as !!binary or !!timestamp is refused
    yaml_constructors = {  # noqa: RUF012 (PyYAML's name)
        tag: yaml.SafeLoader.yaml_constructors[tag]
        for tag in (None, *(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "str", "seq")))
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def _int(_loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    try:
        return int(node.value)
    except ValueError as error:
        raise _unreadable_error(node, "a whole number") from error


def _float(_loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    try:
        return float(node.value)
    except ValueError as error:
        raise _unreadable_error(node, "a number") from error


def _unreadable_error(node: yaml.ScalarNode, kind: str) -> yaml.MarkedYAMLError:
    text = node.value if len(node.value) <= 20 else f"{node.value[:20]}..."
    return yaml.MarkedYAMLError(problem=f"line {node.start_mark.line + 1}: {text!r} cannot be read as {kind}")


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Hashable, object]:
    result: dict[Hashable, object] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if not isinstance(key, str) or key_node.value == "<<":
            shown = repr(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "(a list or mapping)"
            raise yaml.MarkedYAMLError(problem=f"line {line}: key {shown} is not text")
        if key in result:
            raise yaml.MarkedYAMLError(problem=f"line {line}: duplicate key {key!r}")
        result[key] = loader.construct_object(value_node, deep=True)
    return result


_Loader.add_constructor("tag:yaml.org,2002:int", _int)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


@cache
def _fast_loader() -> type[yaml.CSafeLoader]:
    """libyaml reads a text into events; Python composes and constructs from them, so that depth stays bounded."""

    class FastLoader(Composer, yaml.CSafeLoader):
        yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers
        yaml_constructors = _Loader.yaml_constructors

        def __init__(self, text: str) -> None:
            yaml.CSafeLoader.__init__(self, text)
            Composer.__init__(self)

    return FastLoader


def _load(text: str) -> object:
    """By libyaml where PyYAML was built with it: six times as fast. Errors are PyYAML's own, whose places are exact."""
    if yaml.__with_libyaml__:
        try:
            return _load_by(_fast_loader(), text)
        except (yaml.YAMLError, UnicodeEncodeError):
            pass
    return _load_by(_Loader, text)


def _load_by(loader_class: type[yaml.SafeLoader] | type[yaml.CSafeLoader], text: str) -> object:
    loader = loader_class(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


@lru_cache(maxsize=512)
def _loaded(text: str) -> object:
    """Parse each text once: many presets have the same bases."""
    loaded = _load(text)
    if _count_values(loaded, MAX_PARTS) > MAX_PARTS:
        raise yaml.MarkedYAMLError(problem="its aliases stand for more than a params file holds")
    return loaded


def _count_values(value: object, maximum: int) -> int:
    """How many values there are, each alias counted as what it stands for; counting ends above `maximum`."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    count = 1
    for one in inner:
        count += _count_values(one, maximum - count) if count <= maximum else 0
    return count


def parse_yaml(text: str, where: str) -> Tree:
    """The mapping in a YAML text.

    Raises: UserError naming `where` (and the line) if it does not parse, has a duplicate key or is no mapping.
    """
    if len(text) > LARGEST:
        problem = f"has {len(text)} characters; a params file has at most {LARGEST}"
        raise UserError(problem, where=where, remedy="check the name: this is not a params file")
    try:
        tree = deepcopy(_loaded(text))  # a caller may change the tree
    except RecursionError as error:
        raise UserError("is nested too deeply", where=where, remedy="write fewer brackets inside brackets") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"not valid YAML: {place}{problem}", where=where, remedy="correct the file") from error
    if not _is_tree(tree):
        raise UserError("is not a mapping of keys to values", where=where, remedy="write `key: value` lines")
    return tree


def _is_tree(loaded: object) -> TypeGuard[Tree]:
    """Whether a loaded value is a mapping: its keys are text and its values JSON's, as the loader makes no others."""
    return isinstance(loaded, dict)


def read_yaml(path: Path) -> Tree:
    """The mapping in a YAML file.

    Raises: UserError if the file cannot be read, and as `parse_yaml`.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LARGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"cannot be read ({reason})", where=str(path), remedy="name a readable UTF-8 file") from error
    return parse_yaml(text, str(path))
