"""Random small networks over the whole vocabulary of operators, for property tests.

Tensors have two to five axes, the batch first and then the channels. Everything is drawn: inputs,
operators, their variants, which tensors are read again, which are outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

import numpy as np
import onnx
from hypothesis import strategies as st
from networks import Builder
from onnx_case import noise

from octavo.arrays import Batch

BATCH = 2
LARGEST = 2048  # values of a tensor
Shape: TypeAlias = tuple[int, ...]


@dataclass
class Network:
    """Grows a network; the methods of drawing are hypothesis'."""

    draw: st.DrawFn
    builder: Builder
    shapes: dict[str, Shape] = field(default_factory=dict)
    shared: dict[Shape, str] = field(default_factory=dict)
    products: int = 0

    def one_of(self, *choices):
        """Draw one of the choices."""
        return self.draw(st.sampled_from(choices))

    def pick(self, fits: Callable[[Shape], bool] = lambda shape: True) -> str | None:
        """Draw a tensor whose shape fits, mostly one of the last; None where there is none."""
        fitting = [name for name, shape in self.shapes.items() if fits(shape)]
        return self.one_of(*fitting, *fitting[-3:] * 3) if fitting else None

    def weight(self, name: str, *shape: int, fan: int | None = None) -> str:
        """Return a random weight; perhaps one that another operator reads already."""
        if shape in self.shared and self.one_of(True, False, False):
            return self.shared[shape]
        scale = float(fan or prod(shape[1:])) ** -0.5
        self.shared[shape] = self.builder.random(name, *shape, scale=scale)
        return self.shared[shape]

    def bias(self, name: str, *shape: int) -> list[str]:
        """Return a bias of that shape in a list, or none."""
        return [self.builder.random(name, *shape, scale=0.3)] if self.one_of(True, False) else []

    def made(self, op: str, inputs: list[str], name: str, shape: Shape, **attributes) -> str:
        """Add a node and remember the shape of what it makes."""
        output = self.builder.node(op, inputs, name, **attributes)
        self.shapes[output] = shape
        return output

    def integers(self, name: str, *values: int) -> str:
        """Add an integer constant."""
        return self.builder.weight(name, np.array(values, np.int64))

    def number(self, name: str, value: float) -> str:
        """Add a float constant without axes."""
        return self.builder.weight(name, np.float32(value))


Write: TypeAlias = Callable[[Network, str, Shape, str], object]


def plain(op: str, **attributes) -> Write:
    """Return the writer of an operator that keeps the shape of what it reads."""
    return lambda net, x, shape, name: net.made(op, [x], name, shape, **attributes)


def bounded(net, x, shape, name):
    low, high = net.one_of((0.0, 6.0), (0.0, 1.0), (-1.0, 1.0), (-0.5, 2.0), (0.5, 1.0))
    bounds = [net.number(f"{name}_low", low), net.number(f"{name}_high", high)]
    bounds = net.one_of(bounds, bounds[:1], ["", bounds[1]])
    return net.made("Clip", [x, *bounds], name, shape)


def extreme(net, x, shape, name):
    choices = ("Max", 0.0), ("Min", 1.0), ("Max", -0.5), ("Min", 0.3), ("Min", 6.0)
    for index in range(net.one_of(0, 1, 2)):
        op, value = net.one_of(*choices)
        bound = net.number(f"{name}_{index}_c", value)
        x = net.made(op, [x, bound], f"{name}_{index}", shape)
    op, value = net.one_of(*choices)
    return net.made(op, [x, net.number(f"{name}_c", value)], name, shape)


def constant(net, x, shape, name):
    """Write an operator with a constant: a number, one per channel, one per column, one for all."""
    channels = (shape[1], *[1] * (len(shape) - 2))
    size = net.one_of((), (1,), (shape[-1],), channels, (1, *shape[1:]))
    op = net.one_of("Add", "Sub", "Mul", "Div")
    values = net.builder.rng.uniform(0.5, 2, size) * net.builder.rng.choice([-1, 1], size)
    operands = [x, net.builder.weight(f"{name}_c", np.asarray(values, np.float32))]
    backwards = op != "Div" and net.one_of(True, False)
    return net.made(op, operands[::-1] if backwards else operands, name, shape)


def pair(net, x, shape, name):
    op = net.one_of("Add", "Mul", "Sub", "Sum", "Max")
    net.products += op == "Mul"
    op = "Add" if net.products > 2 else op
    broadcast = (*shape[:2], *[1] * (len(shape) - 2))
    other = net.pick(lambda s: s in (shape, broadcast))
    others = [other, net.pick(lambda s: s == shape)] if op == "Sum" else [other]
    return net.made(op, [x, *others], name, shape)


def concat(net, x, shape, name):
    axis = net.one_of(1, len(shape) - 1)
    others = [s for s in net.shapes.values() if _joins(s, shape, axis)]
    other = net.pick(lambda s: s in others)
    joined = list(shape)
    joined[axis] += net.shapes[other][axis]
    return net.made("Concat", [x, other], name, tuple(joined), axis=axis)


def _joins(other: Shape, shape: Shape, axis: int) -> bool:
    return len(other) == len(shape) and all(
        a == b for i, (a, b) in enumerate(zip(other, shape, strict=True)) if i != axis
    )


def split(net, x, shape, name):
    if shape[1] < 2:
        return net.made("Identity", [x], name, shape)
    first = net.one_of(*range(1, shape[1]))
    sizes = (first, shape[1] - first)
    names = [f"{name}_a", f"{name}_b"]
    net.builder.add("Split", [x, net.integers(f"{name}_s", *sizes)], names, name, axis=1)
    net.shapes.update({n: (shape[0], s, *shape[2:]) for n, s in zip(names, sizes, strict=True)})
    return names


def select(net, x, shape, name):
    """Write a Slice or Gather along any axis but the batch."""
    axis = net.one_of(*range(1, len(shape)))
    count = net.one_of(*range(1, shape[axis] + 1))
    sized = (*shape[:axis], count, *shape[axis + 1 :])
    if net.one_of(True, False):
        which = net.builder.rng.integers(0, shape[axis], count)
        return net.made("Gather", [x, net.integers(f"{name}_i", *which)], name, sized, axis=axis)
    bounds = [net.integers(f"{name}_{n}", v) for n, v in (("b", 0), ("e", count), ("a", axis))]
    return net.made("Slice", [x, *bounds], name, sized)


def turn(net, x, shape, name):
    perm = [0, *net.draw(st.permutations(range(1, len(shape))))]
    return net.made("Transpose", [x], name, tuple(shape[axis] for axis in perm), perm=perm)


def reshape(net, x, shape, name):
    """Flatten, merge the last axes, split the last one, or add an axis."""
    merged = (*shape[:-2], shape[-2] * shape[-1])
    parted = (*shape[:-1], shape[-1] // 2, 2)
    ways = [(shape[0], prod(shape[1:]))]
    ways += [merged] if len(shape) > 2 else []
    ways += [parted] if len(shape) < 5 and shape[-1] % 2 == 0 else []
    wanted = net.one_of(*ways)
    if wanted == ways[0] and net.one_of(True, False):
        return net.made("Flatten", [x], name, wanted)
    return net.made("Reshape", [x, net.integers(f"{name}_s", 0, *wanted[1:])], name, wanted)


def reduce(net, x, shape, name):
    op = net.one_of("ReduceMean", "ReduceMax", "GlobalAveragePool", "GlobalMaxPool")
    small = (*shape[:2], *[1] * (len(shape) - 2))
    if op.startswith("Global"):
        return net.made(op, [x], name, small)
    keeps = net.one_of(0, 1)
    axes = [*range(2, len(shape))]
    made = small if keeps else shape[:2]
    return net.made(op, [x], name, made, axes=axes, keepdims=keeps)


def window(net, shape):
    """Draw kernel, strides and pads that fit, and return the output's size with them."""
    space = shape[2:]
    kernel = [min(net.one_of(1, 2, 3), size) for size in space]
    strides = [net.one_of(1, 1, 2) for _ in space]
    pads = [net.one_of(0, k // 2) for k in kernel] * 2
    half = len(space)
    out = [
        (size + pads[i] + pads[i + half] - kernel[i]) // strides[i] + 1
        for i, size in enumerate(space)
    ]
    return {"kernel_shape": kernel, "strides": strides, "pads": pads}, tuple(out)


def pool(net, x, shape, name):
    op = net.one_of("MaxPool", "AveragePool")
    attributes, out = window(net, shape)
    if op == "AveragePool":
        attributes["count_include_pad"] = net.one_of(0, 1)
    return net.made(op, [x], name, (*shape[:2], *out), **attributes)


def conv(net, x, shape, name):
    channels = shape[1]
    groups = net.one_of(*[g for g in (1, 1, 1, 2, channels) if channels % g == 0])
    outputs = groups * net.one_of(1, 2, 3)
    attributes, out = window(net, shape)
    if net.one_of(True, False, False):
        same = net.one_of("SAME_UPPER", "SAME_LOWER")
        out = tuple(-(-s // t) for s, t in zip(shape[2:], attributes["strides"], strict=True))
        attributes = {"auto_pad": same, "strides": attributes["strides"],
                      "kernel_shape": attributes["kernel_shape"]}  # fmt: skip
    w = net.weight(f"{name}_w", outputs, channels // groups, *attributes["kernel_shape"])
    operands = [x, w, *net.bias(f"{name}_b", outputs)]
    made = (shape[0], outputs, *out)
    return net.made("Conv", operands, name, made, group=groups, **attributes)


def transposed(net, x, shape, name):
    channels = shape[1]
    groups = net.one_of(*[g for g in (1, 1, 2, channels) if channels % g == 0])
    outputs = net.one_of(1, 2, 3)
    rank = len(shape) - 2
    kernel = [net.one_of(1, 2, 3, 4) for _ in range(rank)]
    strides = [net.one_of(1, 2, 2, 3) for _ in range(rank)]
    added = [net.one_of(0, 0, s - 1) for s in strides]
    pads = [net.one_of(0, min(1, k - 1)) for k in kernel * 2]
    out = [
        (size - 1) * strides[i] + kernel[i] - pads[i] - pads[i + rank] + added[i]
        for i, size in enumerate(shape[2:])
    ]
    if min(out) < 1 or prod(out) * outputs * groups * BATCH > LARGEST:
        return net.made("Relu", [x], name, shape)
    w = net.weight(f"{name}_w", channels, outputs, *kernel, fan=channels)
    operands = [x, w, *net.bias(f"{name}_b", outputs * groups)]
    return net.made(
        "ConvTranspose", operands, name, (shape[0], outputs * groups, *out),
        group=groups, strides=strides, pads=pads, output_padding=added,
    )  # fmt: skip


def batch_norm(net, x, shape, name):
    output = net.builder.batch_norm(x, name, shape[1])
    net.shapes[output] = shape
    return output


def instance_norm(net, x, shape, name):
    given = [net.builder.random(f"{name}_{part}", shape[1]) for part in "sb"]
    return net.made("InstanceNormalization", [x, *given], name, shape)


def layer_norm(net, x, shape, name):
    output = net.builder.layer_norm(x, name, shape[-1])
    net.shapes[output] = shape
    return output


def pad(net, x, shape, name):
    mode = net.one_of("constant", "edge", "reflect")
    most = 2 if mode == "constant" else min(2, shape[-1] - 1)
    before, after = net.one_of(*range(most + 1)), net.one_of(*range(most + 1))
    rank = len(shape)
    pads = [*[0] * (rank - 1), before, *[0] * (rank - 1), after]
    given = [net.integers(f"{name}_p", *pads)]
    if net.one_of(True, False):  # the other modes ignore it
        given.append(net.number(f"{name}_v", net.one_of(0.0, 0.5, -1.0)))
    sized = (*shape[:-1], shape[-1] + before + after)
    return net.made("Pad", [x, *given], name, sized, mode=mode)


def resize(net, x, shape, name):
    factors = [net.one_of(1, 2) for _ in shape[2:]]
    mode = net.one_of("nearest", "nearest", "linear")
    scales = net.builder.weight(f"{name}_s", np.array([1, 1, *factors], np.float32))
    grown = (*shape[:2], *[s * f for s, f in zip(shape[2:], factors, strict=True)])
    ways = [{}, {"coordinate_transformation_mode": "asymmetric"}]
    ways += [{"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}]
    return net.made("Resize", [x, "", scales], name, grown, mode=mode, **net.one_of(*ways))


def shuffle(net, x, shape, name):
    n, c, h, w = shape
    if c % 4 == 0 and net.one_of(True, False):
        mode = net.one_of("DCR", "CRD")
        spread = (n, c // 4, 2 * h, 2 * w)
        return net.made("DepthToSpace", [x], name, spread, blocksize=2, mode=mode)
    if h % 2 == 0 and w % 2 == 0:
        return net.made("SpaceToDepth", [x], name, (n, 4 * c, h // 2, w // 2), blocksize=2)
    return net.made("Relu", [x], name, shape)


def prelu(net, x, shape, name):
    size = net.one_of((1,), (shape[1], *[1] * (len(shape) - 2)))
    return net.made("PRelu", [x, net.builder.random(f"{name}_s", *size)], name, shape)


def hard(net, x, shape, name):
    """Write HardSigmoid or HardSwish in one of the ways of exporters."""
    b, three = net.builder, net.number(f"{name}_3", 3.0)
    bounds = [net.number(f"{name}_0", 0.0), net.number(f"{name}_6", 6.0)]
    gate = b.node("Clip", [b.node("Add", [x, three], f"{name}_a"), *bounds], f"{name}_g")
    way = net.one_of("HardSigmoid", "HardSwish", "gate", "swish", "swish", "late")
    if way.startswith("Hard"):
        return net.made(way, [x], name, shape)
    if way == "gate":
        return net.made("Div", [gate, bounds[1]], name, shape)
    if way == "late":
        return net.made("Div", [b.node("Mul", [x, gate], f"{name}_m"), bounds[1]], name, shape)
    unit = b.node("Div", [gate, bounds[1]], f"{name}_d")
    return net.made("Mul", [unit, x], name, shape)


def gelu(net, x, shape, name):
    output = net.builder.gelu(x, name)
    net.shapes[output] = shape
    return output


def swish(net, x, shape, name):
    gate = net.builder.node("Sigmoid", [x], f"{name}_g")
    return net.made("Mul", [x, gate], name, shape)


def linear(net, x, shape, name):
    width = net.one_of(1, 4, 6)
    w = net.weight(f"{name}_w", shape[-1], width, fan=shape[-1])
    made = (*shape[:-1], width)
    if not net.one_of(True, False):
        return net.made("MatMul", [x, w], name, made)
    product = net.builder.node("MatMul", [x, w], f"{name}_m")
    return net.made("Add", [product, net.builder.random(f"{name}_b", width)], name, made)


def odd_product(net, x, shape, name):
    """Multiply by a vector, by matrices in batches, by a constant first, or by itself."""
    way = net.one_of("vector", "batches", "first", "itself")
    *_, rows, columns = shape
    if way == "vector" and len(shape) > 2:
        return net.made("MatMul", [x, net.weight(f"{name}_w", columns)], name, shape[:-1])
    if way == "batches" and len(shape) == 4:
        w = net.weight(f"{name}_w", shape[1], columns, 3, fan=columns)
        return net.made("MatMul", [x, w], name, (*shape[:-1], 3))
    if way == "first" and len(shape) > 2:
        w = net.weight(f"{name}_w", 3, rows, fan=rows)
        return net.made("MatMul", [w, x], name, (*shape[:-2], 3, columns))
    if way == "itself" and len(shape) > 2 and net.products < 2:
        net.products += 1
        perm = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
        turned = net.builder.node("Transpose", [x], f"{name}_t", perm=perm)
        return net.made("MatMul", [x, turned], name, (*shape[:-1], rows))
    return linear(net, x, shape, name)


def einsum(net, x, shape, name):
    """Write a product of [batch, rows, columns], with a weight or with itself."""
    b, (n, rows, columns) = net.builder, shape
    if net.one_of(True, False):
        weight = b.random(f"{name}_w", 4, columns, scale=columns**-0.5)
        equation = net.one_of("brc,dc->brd", "brc,dc->bdr")
        made = (n, rows, 4) if equation.endswith("rd") else (n, 4, rows)
        return net.made("Einsum", [x, weight], name, made, equation=equation)
    net.products += 1
    if net.products > 2:
        return net.made("Relu", [x], name, shape)
    return net.made("Einsum", [x, x], name, (n, rows, rows), equation="brc,bsc->brs")


def gemm(net, x, shape, name):
    width = net.one_of(3, 5)
    transposed = net.one_of(0, 1)
    size = (width, shape[1]) if transposed else (shape[1], width)
    w = net.weight(f"{name}_w", *size, fan=shape[1])
    bias = net.bias(f"{name}_b", *net.one_of((width,), (1, width), (), (1,), (1, 1)))
    scales = net.one_of({}, {"alpha": 0.5}, {"beta": 2.0}, {"alpha": 0.25, "beta": -1.0})
    made = (shape[0], width)
    return net.made("Gemm", [x, w, *bias], name, made, transB=transposed, **scales)


def attention(net, x, shape, name):
    """Attention of one head over [batch, rows, columns]."""
    width, b = shape[-1], net.builder
    q, k, v = (b.linear(x, f"{name}_{part}", width, width) for part in "qkv")
    turned = b.node("Transpose", [k], f"{name}_t", perm=[0, 2, 1])
    scores = b.node("MatMul", [q, turned], f"{name}_s")
    scale = net.number(f"{name}_c", width**-0.5)
    weights = b.node("Softmax", [b.node("Mul", [scores, scale], f"{name}_d")], f"{name}_p", axis=-1)
    mixed = b.node("MatMul", [weights, v], f"{name}_m")
    summed = b.node("Add", [x, b.linear(mixed, f"{name}_o", width, width)], f"{name}_r")
    return layer_norm(net, summed, shape, name)


def recurrent(net, x, shape, name):
    """Run an LSTM or GRU over the last axis of [batch, channels, steps]."""
    op, gates = net.one_of(("LSTM", 4), ("LSTM", 4), ("GRU", 3))
    direction, count = net.one_of(("forward", 1), ("reverse", 1), ("bidirectional", 2))
    hidden, b = net.one_of(2, 4), net.builder
    turned = b.node("Transpose", [x], f"{name}_t", perm=[2, 0, 1])
    weights = [
        b.random(f"{name}_w", count, gates * hidden, shape[1]),
        b.random(f"{name}_r", count, gates * hidden, hidden),
        *net.bias(f"{name}_b", count, 2 * gates * hidden),
    ]
    (states,) = b.add(op, [turned, *weights], [f"{name}_y"], f"{name}_n", hidden_size=hidden,
                      direction=direction)  # fmt: skip
    back = b.node("Transpose", [states], f"{name}_back", perm=[2, 1, 3, 0])
    made = (shape[0], count * hidden, shape[2])
    return net.made(
        "Reshape", [back, net.integers(f"{name}_s", 0, count * hidden, shape[2])], name, made
    )


def masked(net, x, shape, name):
    mask = net.builder.weight(f"{name}_m", net.builder.rng.integers(0, 2, shape[1:]).astype(bool))
    return net.made("Where", [mask, x, net.number(f"{name}_v", -1.0)], name, shape)


ANY = {
    "relu": plain("Relu"), "leaky": plain("LeakyRelu", alpha=0.1), "sigmoid": plain("Sigmoid"),
    "tanh": plain("Tanh"), "elu": plain("Elu"), "erf": plain("Erf"), "softplus": plain("Softplus"),
    "abs": plain("Abs"), "identity": plain("Identity"), "softmax": plain("Softmax", axis=-1),
    "clip": bounded, "extreme": extreme, "constant": constant, "pair": pair, "pair again": pair,
    "concat": concat, "split": split, "select": select, "turn": turn, "reshape": reshape,
    "prelu": prelu, "hard": hard, "hard again": hard, "gelu": gelu, "swish": swish,
    "linear": linear, "odd product": odd_product, "layer norm": layer_norm, "pad": pad,
    "masked": masked,
}  # fmt: skip
SPATIAL = {
    "conv": conv, "conv again": conv, "conv once more": conv, "transposed": transposed,
    "pool": pool, "reduce": reduce, "batch norm": batch_norm, "instance norm": instance_norm,
}  # fmt: skip
BY_RANK: dict[int, dict[str, Write]] = {
    2: {"gemm": gemm, "gemm again": gemm, "gemm once more": gemm},
    3: {**SPATIAL, "attention": attention, "recurrent": recurrent, "einsum": einsum},
    4: {**SPATIAL, "resize": resize, "shuffle": shuffle},
    5: SPATIAL,
}
INPUTS: tuple[Shape, ...] = (
    (BATCH, 3, 8, 8), (BATCH, 3, 8, 8), (BATCH, 4, 6, 6), (BATCH, 12), (BATCH, 6, 8),
    (BATCH, 3, 4, 4, 4),
)  # fmt: skip


def grow(net: Network, name: str) -> None:
    """Add one operator, or a piece of several, that reads any tensor."""
    x = net.pick(lambda shape: prod(shape) <= LARGEST)
    if x is None:
        return
    shape = net.shapes[x]
    writers = net.one_of(ANY, BY_RANK[len(shape)])
    writers[net.one_of(*writers)](net, x, shape, name)


def declared(net: Network, name: str, shape: Shape) -> list[object]:
    """Return an input's shape with dimensions left free: the batch, and perhaps positions."""
    batch = net.one_of("batch", BATCH)
    free = [net.one_of(False, False, True) for _ in shape[2:]]
    space = [f"{name}_{i}" if free[i] else size for i, size in enumerate(shape[2:])]
    return [batch, *shape[1:2], *space]


@dataclass(frozen=True, repr=False)
class Drawn:
    """A network and a batch for it."""

    proto: onnx.ModelProto
    batch: Batch

    def __repr__(self) -> str:
        return onnx.printer.to_text(self.proto)


@st.composite
def networks(draw: st.DrawFn, operators: int = 10) -> Drawn:
    """Draw a network and a batch; its outputs are what nobody reads, and perhaps others."""
    net = Network(draw, Builder(seed=draw(st.integers(0, 9))))
    count = draw(st.sampled_from([1, 1, 1, 2]))
    inputs = {f"in{index}": net.one_of(*INPUTS) for index in range(count)}
    net.shapes.update(inputs)
    for index in range(draw(st.integers(4, operators))):
        grow(net, f"n{index}")
    read = {name for node in net.builder.nodes for name in node.input}
    made = [name for name in net.shapes if name not in inputs]
    chosen = [name for name in made if name not in read or draw(st.integers(0, 5)) == 0]
    specs = {name: declared(net, name, s) for name, s in inputs.items() if name in read}
    proto = net.builder.ending(*chosen, **specs)
    batch = {n: noise(*inputs[n], seed=i) for i, n in enumerate(specs)}
    return Drawn(proto, batch)
