"""From a module, and from a `.pt2` file on the command line, to an artifact that runs."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch_case import ResNet, images, seeded

import octavo
from octavo.artifact import open_artifact
from octavo.backends.pytorch import Source
from octavo.errors import ExitCode
from octavo.testing.simulation import sqnr

SIZE = 48  # so that the time is that of convolutions
PICTURES = images(64, size=SIZE) + 2 * images(64, size=1)  # each of a colour of its own


@pytest.fixture(scope="module")
def module():
    return seeded(ResNet(channels=64))


@pytest.fixture(scope="module")
def labels(module):
    with torch.no_grad():
        scores = module(PICTURES)
        module.fc.bias -= scores.mean(0)  # so that every class is found
        return (scores - scores.mean(0)).argmax(1).numpy()


def test_a_module_becomes_an_artifact(module, labels, tmp_path):
    image = PICTURES.numpy()
    result = octavo.quantize(
        Source(module, (PICTURES[:1],)),
        calibration=[image[:32]],
        evaluation=[(image[32:], labels[32:])],
        metric="top1",
        tolerance="0.5 absolute",
        output=tmp_path / "int8",
        threads=1,
        seconds=0.3,
    )
    assert result.exit_code in (ExitCode.DONE, ExitCode.NOT_FASTER)  # the processor decides
    assert result.to_json()["groups"]["int8"] > 0 or result.exit_code == ExitCode.NOT_FASTER
    manifest = open_artifact(tmp_path / "int8").manifest
    assert manifest.backend == "pytorch"
    with torch.no_grad():
        expected = module(torch.from_numpy(image)).numpy()
    quality = sqnr(octavo.load(tmp_path / "int8")(image), expected)
    assert quality > 20
    assert quality < 80 or result.exit_code == ExitCode.NOT_FASTER  # it is an INT8 model


def test_the_command_line_reads_exported_programs(module, labels, tmp_path):
    dynamic = ({0: torch.export.Dim.AUTO},)
    exported = torch.export.export(module, (PICTURES[:2],), dynamic_shapes=dynamic)
    torch.export.save(exported, tmp_path / "net.pt2")
    np.savez(tmp_path / "data.npz", image=PICTURES.numpy(), label=labels)
    command = [
        sys.executable, "-m", "octavo", "quantize", "net.pt2", "-o", "int8", "--calibration",
        "data.npz", "--evaluation", "data.npz", "--allow-overlap", "--tolerance", "0.5 absolute",
        "--seconds", "0.3", "--threads", "1", "--json",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode in (ExitCode.DONE, ExitCode.NOT_FASTER), done.stderr
    report = json.loads(done.stdout)
    assert report["accuracy"]["metric"] == "top1"

    def ask(*arguments):
        line = [*command[:3], *arguments, "--json"]
        answer = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    executed = {group["executed"] for group in ask("explain", "int8")["rows"]}
    assert executed <= {"int8", "fp32"}
    assert "int8" in executed or done.returncode == ExitCode.NOT_FASTER
    rows = ask("compare", "net.pt2", "int8", "--data", "data.npz", "--samples", "4")["rows"]
    assert {row["tensor"] for row in rows} >= {"fc"}
