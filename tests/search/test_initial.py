from dataclasses import replace
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octavo.errors import UsageError
from octavo.graph import Capability, Graph, Group, Op, Tensor
from octavo.plan import S8, U8, Format, Plan, Recipe
from octavo.search.initial import initial_plan, match, wanted_tensors

CHANNELS = replace(S8, axis=0)
SIZE = (1, 8, 4, 4)


def static(weight=None, inputs=1, output=U8):
    return Format("int8", weight, (U8,) * inputs, (output,))


CONV = tuple(map(Capability, [static(CHANNELS), static(S8)]))
GEMM = (
    *map(Capability, [static(CHANNELS), static(CHANNELS, output=None), static(S8)]),
    Capability(Format("int8_dynamic", CHANNELS, (U8,), (None,))),
)
MATMUL = (
    *map(Capability, [static(CHANNELS, output=None), static(CHANNELS)]),
    Capability(Format("int8_dynamic", CHANNELS, (U8,), (None,))),
)
TABLE = (Capability(Format("int8_weight", replace(S8, axis=1), (None,), (None,))),)
RECURRENT = (Capability(Format("int8_dynamic", CHANNELS, (U8,), (None,))),)
REFUSED = (Capability(Format("int8"), "there is no kernel for it"),)


def follow(inputs=1):
    return (Capability(static(inputs=inputs)),)


KINDS = {"compute": "conv", "follow": "activation", "float": "normalize"}


def network(*groups, sizes=None, kinds=None, macs=None):
    """Make a graph of (id, role, options, inputs); each group makes one tensor named by its id."""
    made = tuple(
        Group(
            id=name,
            kind=(kinds or {}).get(name, KINDS[role]),
            role=role,
            ops=(name, f"{name}/act"),
            inputs=tuple(inputs.split()),
            outputs=(name,),
            options=options,
            macs=(macs or {}).get(name, 0),
        )
        for name, role, options, inputs in groups
    )
    tensors = {name: "float32" for group in made for name in (*group.inputs, *group.outputs)}
    read = {name for group in made for name in group.inputs}
    return Graph(
        ops=tuple(
            Op(op, g.kind, "Other", g.inputs, g.outputs, macs=g.macs if op == g.id else 0)
            for g in made
            for op in g.ops
        ),
        tensors={n: Tensor(n, d, (sizes or {}).get(n, SIZE)) for n, d in tensors.items()},
        groups=made,
        inputs=("x",),
        outputs=tuple(group.id for group in made if group.id not in read),
        fingerprint="test",
    )


def quantized(initial):
    return {name for name, chosen in initial.plan.formats.items() if not chosen.is_float}


class TestCompute:
    def test_what_computes_is_quantized_by_its_first_format(self):
        initial = initial_plan(network(("conv", "compute", CONV, "x")))

        assert initial.plan.formats == {"conv": CONV[0].format}
        assert initial.reasons == {}

    def test_a_group_without_a_format_stays_float_for_its_reason(self):
        initial = initial_plan(network(("norm", "float", REFUSED, "x")))

        assert initial.plan.formats == {}
        assert initial.reasons == {"norm": "there is no kernel for it"}

    def test_a_table_is_quantized_by_both_approaches(self):
        graph = network(("words", "compute", TABLE, "x"))

        for approach in ("static", "dynamic"):
            assert quantized(initial_plan(graph, approach=approach)) == {"words"}

    @pytest.mark.parametrize("approach", ["static", "dynamic"])
    def test_what_has_a_dynamic_form_alone_takes_it_in_both_approaches(self, approach):
        initial = initial_plan(network(("one", "compute", RECURRENT, "x")), approach=approach)

        assert initial.plan.format("one") == RECURRENT[0].format

    def test_an_output_that_integers_are_read_from_is_quantized(self):
        graph = network(("one", "compute", GEMM, "x"), ("two", "compute", GEMM, "one"))

        assert initial_plan(graph).plan.format("one") == GEMM[0].format

    def test_an_output_that_is_read_in_float_only_stays_float(self):
        graph = network(("one", "compute", GEMM, "x"), ("norm", "float", REFUSED, "one"))

        assert initial_plan(graph).plan.format("one") == GEMM[1].format

    def test_an_output_of_the_model_stays_float_where_that_is_offered(self):
        assert initial_plan(network(("one", "compute", GEMM, "x"))).plan.format("one") == (
            GEMM[1].format
        )

    def test_a_product_that_prefers_a_float_output_has_one_even_before_integers(self):
        graph = network(("one", "compute", MATMUL, "x"), ("two", "compute", MATMUL, "one"))

        assert initial_plan(graph).plan.format("one") == MATMUL[0].format


class TestFollow:
    def chain(self, *between):
        """Return conv, the groups between, and conv again."""
        names = ["first", *(f"f{i}" for i in range(len(between)))]
        middle = [(f"f{i}", "follow", options, names[i]) for i, options in enumerate(between)]
        return network(
            ("first", "compute", CONV, "x"), *middle, ("last", "compute", CONV, names[-1])
        )

    @pytest.mark.parametrize("length", [1, 2, 5])
    def test_integers_are_kept_between_two_that_compute(self, length):
        initial = initial_plan(self.chain(*[follow()] * length))

        assert initial.reasons == {}

    def test_what_follows_a_float_tensor_stays_float(self):
        graph = network(("f", "follow", follow(), "x"), ("conv", "compute", CONV, "f"))

        initial = initial_plan(graph)

        assert quantized(initial) == {"conv"}
        assert initial.reasons == {"f": "what it reads is float"}

    def test_what_only_float_reads_stays_float(self):
        graph = network(
            ("conv", "compute", CONV, "x"),
            ("f", "follow", follow(), "conv"),
            ("g", "follow", follow(), "f"),
            ("norm", "float", REFUSED, "g"),
            ("last", "compute", CONV, "norm"),
        )

        initial = initial_plan(graph)

        assert quantized(initial) == {"conv", "last"}
        assert initial.reasons["f"] == initial.reasons["g"] == "what it makes is only read in float"

    def test_what_shrinks_a_tensor_is_worth_its_integers_even_at_the_end(self):
        graph = network(
            ("conv", "compute", CONV, "x"),
            ("pool", "follow", follow(), "conv"),
            sizes={"pool": (1, 8, 1, 1)},
            kinds={"pool": "pool"},
        )

        assert quantized(initial_plan(graph)) == {"conv", "pool"}

    def test_one_reader_in_integers_is_enough(self):
        graph = network(
            ("conv", "compute", CONV, "x"),
            ("f", "follow", follow(), "conv"),
            ("norm", "float", REFUSED, "f"),
            ("last", "compute", CONV, "f"),
        )

        assert "f" in quantized(initial_plan(graph))

    def join(self, integer_size, float_size):
        return network(
            ("conv", "compute", CONV, "x"),
            ("norm", "float", REFUSED, "x"),
            ("join", "follow", follow(2), "conv norm"),
            ("last", "compute", CONV, "join"),
            sizes={"conv": integer_size, "norm": float_size},
        )

    def test_a_join_follows_the_larger_share_of_what_it_reads(self):
        assert "join" in quantized(initial_plan(self.join((1, 8, 4, 4), (1, 8, 1, 1))))
        assert "join" not in quantized(initial_plan(self.join((1, 8, 1, 1), (1, 8, 4, 4))))

    def test_half_of_what_it_reads_is_enough(self):
        assert "join" in quantized(initial_plan(self.join(SIZE, SIZE)))

    def test_a_float_output_of_a_product_is_no_integer_input(self):
        graph = network(
            ("product", "compute", MATMUL, "x"),
            ("f", "follow", follow(), "product"),
            ("last", "compute", MATMUL, "f"),
        )

        assert initial_plan(graph).reasons == {"f": "what it reads is float"}

    def test_a_tensor_of_unknown_shape_is_followed_too(self):
        graph = self.chain(follow())
        tensors = {name: replace(t, shape=None) for name, t in graph.tensors.items()}

        assert initial_plan(replace(graph, tensors=tensors)).reasons == {}

    def test_an_operand_that_is_read_twice_counts_once(self):
        graph = network(
            ("conv", "compute", CONV, "x"),
            ("twice", "follow", follow(2), "conv conv"),
            ("last", "compute", CONV, "twice"),
        )

        assert initial_plan(graph).reasons == {}


class TestPatterns:
    graph = network(
        ("block1/conv", "compute", CONV, "x"),
        ("block1/add", "follow", follow(), "block1/conv"),
        ("block2/conv", "compute", CONV, "block1/add"),
        ("head", "float", REFUSED, "block2/conv"),
    )

    def test_a_float_pattern_keeps_its_groups_in_float(self):
        initial = initial_plan(self.graph, float_patterns=["block1/*"])

        assert quantized(initial) == {"block2/conv"}
        assert initial.reasons["block1/conv"] == "kept in float by the pattern 'block1/*'"

    def test_a_pattern_may_name_an_operator_inside_a_group(self):
        initial = initial_plan(self.graph, float_patterns=["block2/conv/act"])

        assert "block2/conv" in initial.reasons

    def test_what_follows_a_group_kept_in_float_stays_float_too(self):
        initial = initial_plan(self.graph, float_patterns=["block1/conv"])

        assert initial.reasons["block1/add"] == "what it reads is float"

    def test_an_integer_pattern_wins_over_a_float_one(self):
        initial = initial_plan(self.graph, float_patterns=["*/conv"], int8_patterns=["block2/*"])

        assert quantized(initial) == {"block2/conv"}
        assert "block2/conv" not in initial.reasons

    def test_an_integer_pattern_quantizes_what_would_not_pay(self):
        graph = network(("f", "follow", follow(), "x"))

        assert quantized(initial_plan(graph, int8_patterns=["f"])) == {"f"}

    def test_a_forced_group_is_no_dead_end(self):
        graph = network(
            ("conv", "compute", CONV, "x"),
            ("f", "follow", follow(), "conv"),
            ("norm", "float", REFUSED, "f"),
        )

        assert quantized(initial_plan(graph, int8_patterns=["f"])) == {"conv", "f"}

    def test_an_integer_pattern_for_what_has_no_such_form_is_refused(self):
        with pytest.raises(UsageError, match=r"'head'.*there is no kernel for it"):
            initial_plan(self.graph, int8_patterns=["head"])

    @pytest.mark.parametrize("option", ["float_patterns", "int8_patterns"])
    def test_a_pattern_that_matches_nothing_names_the_nearest(self, option):
        with pytest.raises(UsageError, match=r"'blok1/conv' matches no group.*'block1/conv'"):
            initial_plan(self.graph, **{option: ["blok1/conv"]})

    def test_patterns_are_told_by_group(self):
        found = match(self.graph, ["block1/*", "head"])

        assert found == {"block1/conv": "block1/*", "block1/add": "block1/*", "head": "head"}

    def test_patterns_tell_upper_from_lower_case(self):
        with pytest.raises(UsageError, match="Head"):
            match(self.graph, ["Head"])

    def test_groups_that_the_caller_refuses_stay_float_for_the_callers_reason(self):
        initial = initial_plan(self.graph, refused={"block2/conv": "its range is not finite"})

        assert initial.plan.format("block2/conv").is_float
        assert initial.reasons["block2/conv"] == "its range is not finite"


class TestOptions:
    def test_one_scale_per_tensor_is_chosen_where_it_is_asked_for(self):
        initial = initial_plan(network(("conv", "compute", CONV, "x")), per_channel=False)

        assert initial.plan.format("conv") == CONV[1].format

    def test_what_is_offered_per_channel_only_stays_so(self):
        initial = initial_plan(network(("words", "compute", TABLE, "x")), per_channel=False)

        assert initial.plan.format("words") == TABLE[0].format

    def test_dynamic_quantizes_products_only(self):
        graph = network(
            ("conv", "compute", CONV, "x"),
            ("f", "follow", follow(), "conv"),
            ("product", "compute", MATMUL, "f"),
        )

        initial = initial_plan(graph, approach="dynamic")

        assert initial.plan.formats == {"product": MATMUL[-1].format}
        assert initial.reasons.keys() == {"conv", "f"}

    def test_a_forced_group_without_a_dynamic_form_takes_its_static_one(self):
        graph = network(("conv", "compute", CONV, "x"), ("product", "compute", MATMUL, "conv"))

        initial = initial_plan(graph, approach="dynamic", int8_patterns=["*"])

        assert initial.plan.formats == {"conv": CONV[0].format, "product": MATMUL[-1].format}

    def test_a_refused_dynamic_form_gives_its_reason(self):
        slow = Capability(Format("int8_dynamic"), "it is slower")
        graph = network(("conv", "compute", (*CONV, slow), "x"))

        assert initial_plan(graph, approach="dynamic").reasons == {"conv": "it is slower"}

    def test_the_recipe_goes_into_the_plan(self):
        recipe = Recipe("percentile", 99.9)
        graph = network(("conv", "compute", CONV, "x"))

        assert initial_plan(graph, recipe=recipe).plan.recipe == recipe

    def test_a_plan_without_ranges_is_the_same_for_every_recipe(self):
        recipe = Recipe("percentile", 99.9)

        assert initial_plan(network(), recipe=recipe).plan.recipe == Recipe()

    def test_brackets_in_a_pattern_stand_for_themselves(self):
        graph = network(("layers[0].conv", "compute", CONV, "x"))

        for pattern in ("layers[0].conv", "layers[0]*"):
            assert initial_plan(graph, float_patterns=[pattern]).plan.formats == {}

    def test_a_pattern_forces_the_groups_that_can_be_forced(self):
        graph = network(("a.conv", "compute", CONV, "x"), ("a.soft", "float", (), "a.conv_out"))

        assert list(initial_plan(graph, int8_patterns=["a.*"]).plan.formats) == ["a.conv"]


class TestWantedTensors:
    graph = network(
        ("conv", "compute", CONV, "x"),
        ("product", "compute", MATMUL, "conv"),
        ("words", "compute", TABLE, "ids"),
    )

    def test_quantized_inputs_and_outputs_are_wanted(self):
        plan = Plan({"conv": CONV[0].format, "product": MATMUL[0].format})

        assert wanted_tensors(self.graph, [plan]) == {"x": U8, "conv": U8}

    def test_tables_and_dynamic_groups_want_nothing(self):
        plan = Plan({"words": TABLE[0].format, "product": MATMUL[-1].format})

        assert wanted_tensors(self.graph, [plan]) == {}

    def test_several_plans_want_the_tensors_of_all(self):
        plans = [Plan({"conv": CONV[0].format}), Plan({"product": MATMUL[1].format})]

        assert wanted_tensors(self.graph, plans).keys() == {"x", "conv", "product"}

    def test_a_tensor_wanted_in_two_schemes_is_measured_for_the_asymmetric_one(self):
        symmetric = Format("int8", CHANNELS, (S8,), (None,))

        for formats in ((symmetric, CONV[0].format), (CONV[0].format, symmetric)):
            plans = [Plan({"conv": chosen}) for chosen in formats]
            assert wanted_tensors(self.graph, plans)["x"] == U8


@st.composite
def graphs(draw):
    """Draw a graph of groups of every role, each reading what was made before it."""
    groups, names = [], ["x"]
    for index in range(draw(st.integers(1, 12))):
        inputs = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2))
        role, options = draw(
            st.sampled_from(
                [
                    ("compute", CONV), ("compute", GEMM), ("compute", MATMUL), ("compute", TABLE),
                    ("follow", None), ("follow", None), ("float", REFUSED), ("float", ()),
                ]
            )
        )  # fmt: skip
        if options is None:
            options = follow(len(inputs))
        else:
            inputs = inputs[:1]
        groups.append((f"g{index}", role, options, " ".join(inputs)))
        names.append(f"g{index}")
    sizes = {name: (draw(st.sampled_from([1, 16, 4096])),) for name in names}
    return network(*groups, sizes=sizes)


@st.composite
def arguments(draw, graph):
    """Draw arguments of `initial_plan` that fit a graph."""
    names = [group.id for group in graph.groups]
    usable = [group.id for group in graph.groups if group.formats]
    return {
        "approach": draw(st.sampled_from(["static", "dynamic"])),
        "per_channel": draw(st.booleans()),
        "float_patterns": draw(st.lists(st.sampled_from(names), max_size=3)),
        "int8_patterns": draw(st.lists(st.sampled_from(usable), max_size=2)) if usable else [],
    }


@st.composite
def plans(draw):
    graph = draw(graphs())
    return graph, initial_plan(graph, **draw(arguments(graph)))


class TestProperties:
    @given(plans())
    def test_every_format_is_one_that_the_group_offers(self, drawn):
        graph, initial = drawn

        for name, chosen in initial.plan.formats.items():
            assert chosen in graph.group_by_id[name].formats

    @given(plans())
    def test_a_group_is_either_quantized_or_has_a_reason(self, drawn):
        graph, initial = drawn

        assert set(graph.group_by_id) == quantized(initial) | initial.reasons.keys()
        assert quantized(initial).isdisjoint(initial.reasons)
        assert all(initial.reasons.values())

    @given(graphs())
    def test_what_follows_reads_integers_for_at_least_half_of_its_values(self, graph):
        initial = initial_plan(graph)

        for group in graph.groups:
            if group.role == "follow" and group.id in quantized(initial):
                integer = {
                    name: (maker := graph.producer.get(name)) is not None
                    and initial.plan.format(maker.id).outputs == (U8,)
                    for name in group.inputs
                }
                sizes = {name: prod(graph.tensors[name].shape) for name in integer}
                assert 2 * sum(sizes[n] for n, is_ in integer.items() if is_) >= sum(sizes.values())

    @settings(max_examples=50)
    @given(graphs())
    def test_the_same_graph_gives_the_same_plan(self, graph):
        assert initial_plan(graph) == initial_plan(graph)
