"""Random spaces for property tests: branches, several results, groups of both sides of borders."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from octavo.graph import Graph, Group, Op, Tensor
from octavo.plan import FP32, S8, U8, Format
from octavo.search.price.features import RUN, border, group_feature
from octavo.search.price.prices import Prices
from octavo.search.space import Space

KINDS = ("conv", "pool", "matmul", "add", "move")
ACTIONS = ("quantize", "dequantize", "reorder", "reorder-int8")
SIDES = ("spatial", "flat")


def forms(inputs: int, outputs: int) -> list[Format]:
    """Return formats that differ in what is read and made in integers."""
    reads, makes = (U8,) * inputs, (U8,) * outputs
    none = (None,) * outputs
    return [
        Format("int8", S8, reads, makes),
        Format("int8", S8, reads, none),
        Format("int8", S8, (U8, *(None,) * (inputs - 1)), makes),
        Format("int8_dynamic", S8, reads, none),
        Format("int8_weight", S8, (None,) * inputs, none),
    ]


def graph_of(groups: list[Group], sizes: dict[str, int], outputs: list[str]) -> Graph:
    """Return a graph whose tensors have as many elements as `sizes` says; it reads `x`."""
    return Graph(
        ops=tuple(Op(g.id, g.kind, g.kind, g.inputs, g.outputs) for g in groups),
        tensors={name: Tensor(name, "float32", (size,)) for name, size in sizes.items()},
        groups=tuple(groups),
        inputs=("x",),
        outputs=tuple(outputs),
        fingerprint="test",
    )


@st.composite
def spaces(draw: st.DrawFn, most: int = 7) -> Space:
    """Draw a graph and formats for most of its groups; some have no float form among them."""
    sizes = {"x": 1000}
    groups, choices = [], {}
    for number in range(draw(st.integers(1, most))):
        name = f"g{number}"
        inputs = draw(st.lists(st.sampled_from(list(sizes)), min_size=1, max_size=2, unique=True))
        outputs = [f"{name}.{i}" for i in range(draw(st.sampled_from([1, 1, 2])))]
        kind = draw(st.sampled_from(KINDS))
        groups.append(
            Group(
                name, kind, "compute", (name,), tuple(inputs), tuple(outputs), (), f"{kind} {name}"
            )
        )
        sizes |= {one: draw(st.integers(1, 2000)) for one in outputs}
        offered = draw(
            st.lists(st.sampled_from(forms(len(inputs), len(outputs))), max_size=3, unique=True)
        )
        if offered:
            forced = draw(st.integers(0, 5)) == 0
            choices[name] = tuple(offered) if forced else (FP32, *offered)
    read = {name for group in groups for name in group.inputs}
    made = [name for group in groups for name in group.outputs]
    ends = [name for name in made if name not in read or draw(st.booleans())]
    return Space(graph_of(groups, sizes, ends), choices, {})


def random_prices(space: Space, seed: int) -> Prices:
    """Return a price between a microsecond and a millisecond for every feature there may be.

    Borders cost that much for a thousand elements.
    """
    rng = np.random.default_rng(seed)
    names = [RUN]
    for group in space.graph.groups:
        names += [group_feature(group, one) for one in (FP32, *space.choices.get(group.id, ()))]
    groups = len(dict.fromkeys(names))
    names += [border(one, made, read) for one in ACTIONS for made in SIDES for read in SIDES]
    names = list(dict.fromkeys(names))
    seconds = 10 ** rng.uniform(-6, -3, len(names))
    seconds[groups:] *= 1e3
    return Prices(tuple(names), seconds, np.zeros((len(names), len(names))), 0.0)


def random_formats(space: Space, seed: int) -> dict[str, Format]:
    """Return one of the formats of every group that has a choice."""
    rng = np.random.default_rng(seed)
    return {name: forms[int(rng.integers(len(forms)))] for name, forms in space.choices.items()}
