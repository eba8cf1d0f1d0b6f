"""`dcpipe methods` tells of every preset; reconstructions are named so."""

import repository
from dcpipe.params import params_files
from dcpipe.report import presets


def test_every_preset_is_told_with_matching_source_and_printed_rows() -> None:
    lines = presets.preset_lines(repository.ROOT)
    heads = {line.split(":")[0]: index for index, line in enumerate(lines) if not line.startswith(" ")}
    assert list(heads) == params_files.available_names(repository.ROOT, "methods")
    mtt = lines[heads["mtt"] : heads["mtt"] + 4]
    assert "matching trajectory; path recorded" in mtt[1]
    assert "arXiv:2203.11932" in mtt[2]
    assert "cifar10 ipc 1 10 50" in mtt[3]
    assert "averaging ema; ftd-no-ema otherwise" in lines[heads["ftd"] + 1]
    assert {name for name, index in heads.items() if lines[index].endswith("[reconstruction]")} == {
        name for name in heads if name.startswith(("cafe", "pp"))
    }
