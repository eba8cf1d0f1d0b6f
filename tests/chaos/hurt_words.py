"""Trials that hurt what people write: params, command lines, and files that strangers made up."""

import gzip
import io
import json
import os
import pickle
import re
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from bench import SURVIVED, Bench, Trial, Trials
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

import dcpipe
import repository
from dcpipe.data import bounded_files, image_files, pickled_arrays, torch_files
from dcpipe.data.problems import Problems
from dcpipe.errors import DcpipeError
from dcpipe.params.strict_yaml import read_yaml
from dcpipe.provenance import artifact
from dcpipe.workflow.graph import Graph

FILES = ("datasets/tiny", "experts/plain", "methods/mtt", "methods/random", "evaluations/digits", "experiments/tiny")
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 1, 2**31, 2**63, 10**12, 10**30]),
    st.floats(),
    st.sampled_from([1e-300, 1e300, -0.0]),
    st.text(max_size=12),
    st.sampled_from(["tiny", "mtt", "none", "all", "native", "0-99999999", "../x", "=1+1", "\u202e", "a" * 400]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4),
        st.dictionaries(st.sampled_from(["kind", "base", "optimiser", "steps", "count"]), inner, max_size=3),
    ),
    max_leaves=8,
)  # fmt: skip
BATCH = 20  # examples that one call of hypothesis makes
WORDS = st.one_of(
    st.sampled_from(
        ["tiny", "digits", "mtt", "--ipc", "1", "0", "-1", "--set", "--shard", "--protocol", "--network", "native",
         "--help", "--describe", "--stages", "data,experts", "--json", "-v", "--debug=", "methods", "--rebuild", "{}",
         "artifacts/data/tiny", "../..", "/dev/null", "", " ", "1e400", "9" * 400, "\udc80", "ü", "--to", "--every"]
    ),
    st.text(max_size=10),
)  # fmt: skip
VERBS = ("plan", "status", "params", "verify", "methods", "lookup", "reproduce", "graph", "doctor", "show")
_BAD = re.compile(r"Traceback|this is a bug")


def _quietly() -> settings:
    """Examples without a memory of earlier runs, and without shrinking: what was found is printed as it is."""
    return settings(
        max_examples=BATCH,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def params(bench: Bench) -> Trials:
    """A value anywhere in a params file of tiny becomes another one: planned, or one line that names the file."""
    root = bench.copy()
    while True:
        yield from _mutated(bench, root)


def _mutated(bench: Bench, root: Path) -> list[Trial]:
    found = list[Trial]()

    @_quietly()
    @given(st.sampled_from(FILES), VALUES)
    def mutate(file: str, value: object) -> None:
        path = root / "params" / f"{file}.yaml"
        whole = path.read_text()
        tree = read_yaml(path)
        _replace(tree, bench, value)
        path.write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))
        found.append(_planned(root, f"{file} with {value!r:.80}"))
        path.write_text(whole)

    mutate()
    return found


def _replace(tree: object, bench: Bench, value: object) -> None:
    """Put a value in the place of a random one, or under a new key, or leave one out."""
    node = tree
    while isinstance(node, dict) and node:
        key = bench.random.choice(list(node))
        if not isinstance(node[key], dict) or not node[key] or bench.random.random() < 0.15:
            how = bench.random.random()
            if how < 0.8:
                node[key] = value
            elif how < 0.9:
                del node[key]
            else:
                node[f"{key}s"] = value
            return
        node = node[key]


def _planned(root: Path, what: str) -> Trial:
    try:
        Graph(root).experiment_jobs("tiny")
    except DcpipeError as error:
        return SURVIVED if "\n" not in str(error) else Trial("lost", f"{what}: several lines: {error!s:.200}")
    except Exception as error:
        return Trial("lost", f"{what}: {type(error).__name__}: {error!s:.200}")
    return SURVIVED


def command_lines(bench: Bench) -> Trials:
    """Any words after a verb that only looks: a line and an exit code, never a traceback."""
    root = bench.copy()
    while True:
        yield from _called(root)


def _called(root: Path) -> list[Trial]:
    found = list[Trial]()

    @_quietly()
    @given(st.sampled_from(VERBS), st.lists(WORDS, max_size=5))
    def call(verb: str, words: list[str]) -> None:
        if "--to" in words or "\0" in "".join(words):
            return
        code, text = repository.dcpipe(root, verb, *words)
        bad = _BAD.search(text) or code not in {0, 1, 2}
        found.append(Trial("lost", f"dcpipe {verb} {words!r}: exit {code}: {text[-300:]}") if bad else SURVIVED)

    call()
    return found


Crafted = Callable[[Path, Path], Callable[[], object]]
"""(an empty folder, the mark that nothing may make) -> what reads the file that it wrote."""


class _Runs:
    """Makes the mark when somebody unpickles it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def _pickle(folder: Path, mark: Path) -> Callable[[], object]:
    (folder / "data_batch_1").write_bytes(pickle.dumps({"data": _Runs(mark)}, protocol=2))
    return lambda: pickled_arrays.read_pickle(folder / "data_batch_1", "-")


def _memo(folder: Path, _mark: Path) -> Callable[[], object]:
    (folder / "data_batch_1").write_bytes(b"\x80\x02]r\xff\xff\xff\x7f.")
    return lambda: pickled_arrays.read_pickle(folder / "data_batch_1", "-")


def _torch_call(folder: Path, mark: Path) -> Callable[[], object]:
    torch.save([_Runs(mark)], folder / "x.pt")
    return lambda: torch_files.read_torch_file(folder / "x.pt")


def _torch_bomb(folder: Path, _mark: Path) -> Callable[[], object]:
    torch.save(torch.zeros(1).expand(10**12), folder / "x.pt")
    return lambda: torch_files.read_torch_file(folder / "x.pt")


def _npz_objects(folder: Path, mark: Path) -> Callable[[], object]:
    np.savez(folder / "x.npz", images=np.array([_Runs(mark)], dtype=object))
    return lambda: bounded_files.npz_array(folder / "x.npz", "images")


def _npz_bomb(folder: Path, _mark: Path) -> Callable[[], object]:
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (58000000000000,), }".ljust(117) + b"\n"
    with zipfile.ZipFile(folder / "x.npz", "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    return lambda: bounded_files.npz_array(folder / "x.npz", "images")


def _gzip_bomb(folder: Path, _mark: Path) -> Callable[[], object]:
    block, packed = bytes(2**20), io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as file:
        for _ in range(bounded_files.MAX_UNPACKED // 2**20 + 1):
            file.write(block)
    (folder / "x.gz").write_bytes(packed.getvalue())
    return lambda: bounded_files.unpack_gzip(folder / "x.gz", folder / "x", "-")


def _postscript(folder: Path, mark: Path) -> Callable[[], object]:
    text = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n({mark}) (w) file closefile\nshowpage\n"
    (folder / "x.jpg").write_text(text)
    return lambda: _decode(folder)


def _huge_image(folder: Path, _mark: Path) -> Callable[[], object]:
    content = io.BytesIO()
    Image.new("L", (16, 16)).save(content, format="PPM")
    (folder / "x.ppm").write_bytes(content.getvalue().replace(b"16 16", b"99999 99999"))
    return lambda: _decode(folder)


def _decode(folder: Path) -> object:
    source = image_files.ImageFiles({"all": image_files.listing([folder], ["a"], Problems())}, 3, 8, "-")
    source.part("all").read(np.array([0]))
    return source.card_facts()


def _yaml_python(folder: Path, mark: Path) -> Callable[[], object]:
    (folder / "x.yaml").write_text(f"a: !!python/object/apply:os.mkdir ['{mark}']\n")
    return lambda: read_yaml(folder / "x.yaml")


def _yaml_aliases(folder: Path, _mark: Path) -> Callable[[], object]:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (folder / "x.yaml").write_text("\n".join(lines))
    return lambda: read_yaml(folder / "x.yaml")


def _card(folder: Path, _mark: Path) -> Callable[[], object]:
    (folder / "card.json").write_text("[" * 200_000)
    return lambda: artifact.read_card(folder / "x")


def _climbing_sums(folder: Path, _mark: Path) -> Callable[[], object]:
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  ../../etc/passwd\n")
    return lambda: dcpipe.load(folder)


def _safetensors(folder: Path, _mark: Path) -> Callable[[], object]:
    save_file({"images": torch.zeros(2)}, folder / "set.safetensors")
    content = (folder / "set.safetensors").read_bytes()
    (folder / "set.safetensors").write_bytes(struct.pack("<Q", 2**62) + content[8:])
    (folder / "SHA256SUMS").write_text("")
    return lambda: dcpipe.load(folder)


def _experiment(folder: Path, mark: Path) -> Callable[[], object]:
    repository.copy_params(folder)
    run = {"datasets": ["$(touch x)"], "methods": [f"`mkdir {mark}`"], "ipc": [1], "sets": 1, "evaluations": ["digits"]}
    file = {"title": "x", "description": "x", "runs": [{**run, "networks": ["native"]}]}
    (folder / "mine.yaml").write_text(json.dumps(file))
    return lambda: _must_fail(repository.dcpipe(folder, "plan", "mine.yaml"))


def _must_fail(ended: tuple[int, str]) -> None:
    code, text = ended
    if code == 2 and not _BAD.search(text):
        raise DcpipeError(text.splitlines()[-1])


HOSTILE: dict[str, Crafted] = {
    "a CIFAR batch that calls": _pickle,
    "a CIFAR batch with a memo of 60 GB": _memo,
    "a .pt file that calls": _torch_call,
    "a .pt file with a stride of 0": _torch_bomb,
    "an .npz file of objects": _npz_objects,
    "an .npz file of 58 TB": _npz_bomb,
    "a gzip file that never ends": _gzip_bomb,
    "PostScript named .jpg": _postscript,
    "an image of 10 gigapixels": _huge_image,
    "YAML that calls": _yaml_python,
    "YAML of aliases": _yaml_aliases,
    "a card of brackets": _card,
    "a release that climbs": _climbing_sums,
    "a safetensors header of 4 EB": _safetensors,
    "an experiment with shell in its names": _experiment,
}


def hostile_files(bench: Bench) -> Trials:
    """Each crafted file once: one line, and the mark is never made."""
    for name, craft in HOSTILE.items():
        folder = bench.scratch / re.sub(r"\W+", "-", name)
        folder.mkdir()
        mark = bench.scratch / f"{folder.name}-ran"
        yield _crafted(name, craft(folder, mark), mark)
        shutil.rmtree(folder, ignore_errors=True)


def _crafted(name: str, read: Callable[[], object], mark: Path) -> Trial:
    try:
        read()
    except DcpipeError as error:
        if mark.exists():
            return Trial("silent", f"{name}: it ran")
        return SURVIVED if "\n" not in str(error) else Trial("lost", f"{name}: several lines")
    except Exception as error:
        return Trial("lost", f"{name}: {type(error).__name__}: {error!s:.200}")
    return Trial("silent", f"{name}: was taken")
