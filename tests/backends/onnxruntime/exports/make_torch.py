"""Export small PyTorch networks by both of torch's exporters, for the tests of the backend.

    make exports                                  # in environments of their own, or by hand:

    pip install -r tests/backends/onnxruntime/exports/torch.txt
    python tests/backends/onnxruntime/exports/make_torch.py

Made with torch 2.13.0 (CPU), onnxscript 0.7.2, onnx 1.23.2 and transformers 5.23.0. A file is
called `torch_<network>_<exporter>_<opset>.onnx`; weights are drawn from a fixed seed.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
import torch_networks as networks
from torch import Tensor, nn

HERE = Path(__file__).parent
SCRIPT, DYNAMO = "torchscript", "dynamo"


@dataclass(frozen=True)
class Fixture:
    """A network, and the exports to make of it.

    Attributes:
        make: makes the network.
        inputs: example inputs by name.
        outputs: names of the outputs.
        free: names of the free dimensions by axis, by input.
        exports: pairs of exporter and opset.
        script: keep control flow by `torch.jit.script`, which its exporter can do.
    """

    make: Callable[[], nn.Module]
    inputs: Mapping[str, Tensor]
    outputs: Sequence[str]
    free: Mapping[str, Mapping[int, str]]
    exports: Sequence[tuple[str, int]]
    script: bool = False


def image(size: int, batch: int = 2) -> Tensor:
    """Return noise as a batch of images."""
    return torch.randn(batch, 3, size, size)


BATCH = {0: "batch"}
TEXT = {0: "batch", 1: "sequence"}
WORDS = {
    "input_ids": torch.randint(0, 96, (2, 16)),
    "attention_mask": torch.ones(2, 16, dtype=torch.int64),
}

FIXTURES: dict[str, Fixture] = {
    "resnet": Fixture(
        networks.ResNet, {"image": image(32)}, ["logits"], {"image": BATCH},
        [(SCRIPT, 11), (DYNAMO, 18)],
    ),
    "mobilenet": Fixture(
        networks.MobileNet, {"image": image(32)}, ["logits"], {"image": BATCH},
        [(SCRIPT, 12), (SCRIPT, 14), (DYNAMO, 20)],
    ),
    "encoder": Fixture(
        networks.Encoder, {"ids": WORDS["input_ids"], "mask": WORDS["attention_mask"]},
        ["hidden", "logits"], {"ids": TEXT, "mask": TEXT}, [(SCRIPT, 11), (DYNAMO, 20)],
    ),
    "bert": Fixture(
        networks.Bert, WORDS, ["hidden", "pooled"], dict.fromkeys(WORDS, TEXT),
        [(SCRIPT, 14), (DYNAMO, 18)],
    ),
    "recurrent": Fixture(
        networks.Recurrent, {"signal": torch.randn(2, 12, 8)}, ["logits"], {"signal": BATCH},
        [(SCRIPT, 11), (DYNAMO, 18)],
    ),
    "unet": Fixture(
        networks.UNet, {"image": image(16)}, ["mask", "large"],
        {"image": {0: "batch", 2: "height", 3: "width"}}, [(SCRIPT, 11), (DYNAMO, 19)],
    ),
    "shared": Fixture(
        networks.Shared, {"left": image(16), "right": image(16)}, ["a", "b", "distance"],
        {"left": BATCH, "right": BATCH}, [(SCRIPT, 13), (DYNAMO, 18)],
    ),
    "detector": Fixture(
        networks.Detector, {"image": image(64)}, ["found"], {"image": BATCH},
        [(SCRIPT, 12), (DYNAMO, 18)],
    ),
    "branching": Fixture(
        networks.Branching, {"image": image(8)}, ["map"], {"image": BATCH}, [(SCRIPT, 13)], True
    ),
    "looping": Fixture(
        networks.Looping, {"rows": torch.randn(2, 8), "steps": torch.tensor(3)}, ["out"],
        {"rows": BATCH}, [(SCRIPT, 13)], True,
    ),
    "conditional": Fixture(
        networks.Conditional, {"image": image(8)}, ["map"], {"image": BATCH}, [(DYNAMO, 18)]
    ),
}  # fmt: skip


def trained(fixture: Fixture) -> nn.Module:
    """Return the network with BatchNorm statistics of its own, ready for inference."""
    torch.manual_seed(0)
    network = fixture.make()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.3)
    network.train()
    if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        with torch.no_grad():
            for _ in range(4):
                network(*[torch.randn(8, *x.shape[1:]) for x in fixture.inputs.values()])
    return network.eval()


def export(name: str, fixture: Fixture, exporter: str, opset: int) -> Path:
    """Write one export and return its path."""
    path = HERE / f"torch_{name}_{exporter}_{opset}.onnx"
    network = trained(fixture)
    arguments = tuple(fixture.inputs.values())
    common = {
        "input_names": list(fixture.inputs),
        "output_names": list(fixture.outputs),
        "opset_version": opset,
    }
    if exporter == SCRIPT:
        module = torch.jit.script(network) if fixture.script else network
        torch.onnx.export(
            module, arguments, path, dynamo=False, dynamic_axes=dict(fixture.free), **common
        )
    else:
        shapes = tuple(
            {axis: torch.export.Dim.DYNAMIC for axis in fixture.free.get(key, {})}
            for key in fixture.inputs
        )
        torch.onnx.export(
            network, arguments, path, dynamo=True, dynamic_shapes=shapes, external_data=False,
            verbose=False, **common,
        )  # fmt: skip
    return shortened(path)


def shortened(path: Path) -> Path:
    """Drop what only documents where nodes came from, which is most of a tiny file."""
    model = onnx.load(path)
    for graph in (model.graph, *model.functions):
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
        del graph.metadata_props[:]
    for value in model.graph.value_info:
        del value.metadata_props[:]
    onnx.save(model, path)
    return path


def main() -> None:
    """Write every export."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    for name, fixture in FIXTURES.items():
        for exporter, opset in fixture.exports:
            path = export(name, fixture, exporter, opset)
            print(f"{path.stat().st_size:8d}  {path.name}")


if __name__ == "__main__":
    main()
