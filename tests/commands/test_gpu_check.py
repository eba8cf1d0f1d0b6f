"""Laws of `dcpipe gpu-check`: it says what a job would compute on, and fails where a promised device is not there."""

from pathlib import Path

import pytest
import torch

import repository

without_accelerator = pytest.mark.skipif(torch.cuda.is_available(), reason="there is an accelerator here")


@without_accelerator
@pytest.mark.parametrize(
    ("environment", "code", "said"),
    [
        ({"DCPIPE_DEVICE": ""}, 0, "device: cpu"),
        ({"DCPIPE_DEVICE": "cpu", "CUDA_VISIBLE_DEVICES": "0"}, 0, "device: cpu"),
        (
            {"DCPIPE_DEVICE": "", "CUDA_VISIBLE_DEVICES": "1"},
            1,
            "CUDA_VISIBLE_DEVICES=1: the scheduler allocated an accel",
        ),
        ({"DCPIPE_DEVICE": "", "CUDA_VISIBLE_DEVICES": ""}, 0, "the same bits"),
    ],
)
def test_a_promised_accelerator_must_be_there(
    environment: dict[str, str], code: int, said: str, tmp_path: Path
) -> None:
    found, text = repository.dcpipe(tmp_path, "gpu-check", **environment)
    assert (found, said in text) == (code, True), text
    assert len([line for line in text.splitlines() if line.startswith("dcpipe: ")]) == code
