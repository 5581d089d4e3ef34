from octavo.graph import Graph, Group, Tensor
from octavo.plan import FP32, U8, Format, Plan

STATIC = Format("int8", None, (U8,), (U8,))
JOIN = Format("int8", None, (U8, U8), (U8,))
DYNAMIC = Format("int8_dynamic", None, (U8,), (None,))


def group(name, inputs, kind="move"):
    return Group(name, kind, "follow", (name,), tuple(inputs.split()), (name,))


def graph_of(*groups, **ties):
    """Make a graph; `ties` maps tensors to the tie they have when everything is INT8."""
    names = dict.fromkeys(n for g in groups for n in (*g.inputs, *g.outputs))
    tensors = {name: Tensor(name, "float32", tie=ties.get(name)) for name in names}
    return Graph((), tensors, groups, ("x",), (), "")


def ties(graph, **formats):
    return {frozenset(names) for names in graph.planned(Plan(formats)).ties.values()}


CHAIN = graph_of(
    group("a", "x"), group("b", "a"), group("join", "b y", "concat"),
    x="t", a="t", b="t", y="t", join="t",
)  # fmt: skip


def test_everything_int8_ties_what_the_backend_says():
    assert ties(CHAIN, a=STATIC, b=STATIC, join=JOIN) == {frozenset("xaby") | {"join"}}


def test_a_group_that_stays_float_ties_nothing():
    assert ties(CHAIN, a=STATIC, b=STATIC) == {frozenset("xab")}
    assert ties(CHAIN, join=JOIN) == {frozenset({"b", "y", "join"})}
    assert ties(CHAIN, a=STATIC, join=JOIN) == {frozenset("xa"), frozenset({"b", "y", "join"})}
    assert ties(CHAIN, a=FP32) == ties(CHAIN) == set()


def test_ranges_that_are_found_at_run_time_tie_nothing():
    assert ties(CHAIN, a=DYNAMIC, b=DYNAMIC) == set()


def test_a_group_between_two_ties_joins_none():
    graph = graph_of(group("a", "x"), group("mul", "a", "mul"), group("b", "mul"),
                     x="one", a="one", mul="two", b="two")  # fmt: skip

    assert ties(graph, a=STATIC, mul=STATIC, b=STATIC) == {frozenset("xa"), frozenset({"mul", "b"})}


def test_the_graph_itself_is_not_changed():
    CHAIN.planned(Plan())

    assert set(CHAIN.ties) == {"t"}
