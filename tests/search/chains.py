"""Small graphs with random prices, for the tests of pricing and solving."""

from dataclasses import replace

import numpy as np

from octavo.graph import Capability, Graph, Group, Op, Tensor
from octavo.plan import S8, U8, Format
from octavo.search.price.features import features
from octavo.search.price.prices import Prices
from octavo.search.price.profiles import PlanProfile
from octavo.search.space import make_space

CHANNELS = replace(S8, axis=0)
KINDS = ("conv", "matmul", "activation")


def formats(inputs):
    """Static with integer results, static with float results, dynamic."""
    return (
        Format("int8", CHANNELS, (U8,) * inputs, (U8,)),
        Format("int8", CHANNELS, (U8,) * inputs, (None,)),
        Format("int8_dynamic", CHANNELS, (U8,) * inputs, (None,)),
    )


def chain(count, seed=0):
    """Return a graph of `count` groups; some read what is further back, the last is the output."""
    rng = np.random.default_rng(seed)
    groups, names = [], ["in"]
    for number in range(count):
        kind = KINDS[int(rng.integers(3))]
        inputs = [names[-1]]
        if number > 2 and rng.random() < 0.4:
            inputs.append(names[int(rng.integers(len(names) - 1))])
        role = "follow" if kind == "activation" else "compute"
        options = formats(len(inputs))[: 1 if role == "follow" else 3]
        groups.append(
            Group(f"g{number}", kind, role, (f"g{number}",), tuple(inputs), (f"g{number}",),
                  tuple(map(Capability, options)), f"pattern{number % 2}{kind}{len(inputs)}", 1000)
        )  # fmt: skip
        names.append(f"g{number}")
    # what ends a graph would count as work on results: a product always comes last
    last = len(groups) - 1
    options = tuple(map(Capability, formats(len(groups[last].inputs))))
    groups[last] = replace(groups[last], kind="conv", role="compute", options=options)
    ops = tuple(Op(g.id, g.kind, g.kind, g.inputs, g.outputs, macs=1000) for g in groups)
    tensors = {
        name: Tensor(name, "float32", (1, 4 + 16 * place, 32, 32))
        for place, name in enumerate(names)
    }
    return Graph(ops, tensors, tuple(groups), ("in",), (names[-1],), "hash")


def true_prices(graph, plans, seed=0):
    """Return prices of every feature of the plans, INT8 faster than float as a rule."""
    names = sorted({name for plan in plans for name in features(graph, plan)})
    seconds = np.array([_price(name, seed) for name in names])
    return Prices(tuple(names), seconds, np.zeros((len(names), len(names))), 0.0)


def _price(name, seed):
    """Return a price drawn by name: variants of a group differ by a tenth, borders by a third."""
    kind, *rest = name.split(" ")
    own = np.random.default_rng([seed, *name.encode()])
    if name == "run":
        return 20e-6
    if kind in ("quantize", "dequantize"):
        return 0.4e-3 * np.exp(0.3 * own.standard_normal())
    if kind.startswith("reorder"):
        return 0.0
    shared = np.random.default_rng([seed, *f"{kind} {rest[0]}".encode()])
    low, high = (0.5e-3, 2e-3) if rest[0] == "fp32" else (0.1e-3, 1e-3)
    return shared.uniform(low, high) * own.uniform(0.95, 1.05)


def profiled(graph, plan, prices, rng=None, noise=0.0):
    """Return the profile that a plan has by prices, with relative noise."""

    def disturbed(seconds):
        return seconds * (1 + noise * rng.standard_normal()) if noise else seconds

    groups = {g.id: disturbed(prices.group(g, plan.format(g.id))) for g in graph.groups}
    borders = sum(
        amount * prices.of(name)
        for name, amount in features(graph, plan).items()
        if ">" in name and not name.split(" ")[0].startswith(("conv", "matmul", "activation"))
    )
    total = prices.predict(graph, plan).seconds
    return PlanProfile(plan, disturbed(total), groups, disturbed(borders))


def space_of(graph):
    return make_space(graph)
