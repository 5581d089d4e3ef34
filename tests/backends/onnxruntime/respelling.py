"""What tests of respelled operators share."""

import numpy as np
from networks import Builder
from onnx_case import BACKEND, canonical, images, run, run_canonical

CHANNELS, SIZE = 8, 8


def respelled(write, batch=None, opset=17, behind_convolution=True, **inputs):
    """Return the kinds of nodes that a network becomes, behind a convolution of 8 channels.

    Its outputs are compared with those of the network as it was written.
    """
    b = Builder(opset=opset)
    x = b.conv("image", "first", 3, CHANNELS) if behind_convolution else "image"
    made = write(b, x)
    outputs = [made] if isinstance(made, str) else made
    inputs = inputs or {"image": ["batch", 3, SIZE, SIZE]}
    model = BACKEND.load(b.ending(*outputs, **inputs))
    batch = batch or images()
    found = run_canonical(model, batch)
    for name, expected in run(model, batch).items():
        assert found[name].shape == expected.shape
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=2e-5)
    kinds = [node.op_type for node in canonical(model)]
    return kinds[1:] if behind_convolution else kinds


def number(b, name, value):
    return b.weight(name, np.float32(value))


def integers(b, name, *values):
    return b.weight(name, np.array(values, np.int64))
