import pytest
from test_initial import CONV, REFUSED, follow, network, quantized

from octavo.search.initial import initial_plan
from octavo.search.results import RESULTS, on_results, trifles


def head(*behind, **options):
    """Return a convolution, what is done with its result, and nothing else."""
    return network(("conv", "compute", CONV, "x"), *behind, **options)


class TestBetween:
    @pytest.mark.parametrize("kind", ["add", "mul", "activation", "concat", "other"])
    def test_arithmetic_behind_the_last_linear_group_stays_float(self, kind):
        graph = head(
            ("f", "follow", follow(), "conv"),
            ("g", "follow", follow(), "f"),
            sizes={"g": (1, 8, 1, 1)},
            kinds={"f": kind, "g": kind},
        )
        initial = initial_plan(graph)

        assert quantized(initial) == {"conv"}
        assert initial.reasons == {"f": RESULTS, "g": RESULTS}

    @pytest.mark.parametrize("kind", ["move", "pool"])
    def test_what_loses_nothing_may_stay_integers(self, kind):
        graph = head(
            ("f", "follow", follow(), "conv"), sizes={"f": (1, 8, 1, 1)}, kinds={"f": kind}
        )

        assert quantized(initial_plan(graph)) == {"conv", "f"}

    def test_what_a_linear_group_reads_is_no_result(self):
        graph = head(("f", "follow", follow(), "conv"), ("last", "compute", CONV, "f"))

        assert quantized(initial_plan(graph)) == {"conv", "f", "last"}

    def test_a_linear_group_without_integers_counts_too(self):
        graph = head(
            ("f", "follow", follow(2), "conv conv"),
            ("up", "float", REFUSED, "f"),
            kinds={"f": "add", "up": "conv_transpose"},
        )

        assert on_results(graph, set()) == set()

    @pytest.mark.parametrize("kind", ["normalize", "softmax", "activation", "move", "add"])
    def test_values_reach_a_linear_group_through_float_arithmetic(self, kind):
        graph = head(
            ("f", "follow", follow(), "conv"),
            ("between", "float", REFUSED, "f"),
            ("last", "compute", CONV, "between"),
            kinds={"between": kind},
        )

        assert on_results(graph, set()) == set()

    @pytest.mark.parametrize("kind", ["other", "control"])
    def test_what_chooses_among_values_does_not_pass_them_on(self, kind):
        """Boxes are ranked and suppressed before the second stage of a detector reads features."""
        graph = head(
            ("decode", "follow", follow(), "conv"),
            ("choose", "float", REFUSED, "decode conv"),
            ("second", "compute", CONV, "choose"),
            kinds={"choose": kind},
        )
        initial = initial_plan(graph)

        assert quantized(initial) == {"conv", "second"}
        assert initial.reasons["decode"] == RESULTS

    def test_a_result_that_a_linear_group_reads_too_is_between(self):
        graph = head(
            ("sum", "follow", follow(2), "conv conv"),
            ("out", "follow", follow(), "sum"),
            ("last", "compute", CONV, "sum"),
            kinds={"sum": "add"},
        )
        initial = initial_plan(graph)

        assert quantized(initial) == {"conv", "sum", "last"}
        assert initial.reasons == {"out": RESULTS}

    def test_moves_behind_float_results_read_float(self):
        graph = head(
            ("squash", "follow", follow(), "conv"),
            ("cut", "follow", follow(), "squash"),
            sizes={"cut": (1, 1, 1, 1)},
            kinds={"cut": "move"},
        )

        assert initial_plan(graph).reasons == {"squash": RESULTS, "cut": "what it reads is float"}

    def test_a_pattern_quantizes_results_all_the_same(self):
        graph = head(("f", "follow", follow(), "conv"))

        assert quantized(initial_plan(graph, int8_patterns=["f"])) == {"conv", "f"}


class TestTrifles:
    def expectation(self, macs=100, size=(1, 1, 1, 10), **kinds):
        """Return a network whose last product is of `macs` multiply-adds, of 2 million in all."""
        return network(
            ("conv", "compute", CONV, "x"),
            ("shares", "float", REFUSED, "conv"),
            ("mean", "compute", CONV, "shares"),
            ("scaled", "follow", follow(), "mean"),
            sizes={"mean": size},
            kinds={"shares": "softmax"} | kinds,
            macs={"conv": 2_000_000, "mean": macs},
        )

    def test_a_small_product_of_arithmetic_on_results_stays_float(self):
        initial = initial_plan(self.expectation())

        assert quantized(initial) == {"conv"}
        assert initial.reasons["mean"] == initial.reasons["scaled"] == RESULTS

    def test_work_that_counts_is_none(self):
        assert trifles(self.expectation(macs=2_100, size=(1, 1, 1, 210))) == set()

    def test_long_sums_are_none(self):
        assert trifles(self.expectation(macs=1_000, size=(1, 1, 1, 10))) == set()

    def test_unknown_work_is_none(self):
        assert trifles(self.expectation(macs=0)) == set()

    @pytest.mark.parametrize("kind", ["pool", "conv", "matmul", "embedding"])
    def test_a_classifier_of_features_is_none(self, kind):
        assert trifles(self.expectation(shares=kind)) == set()

    def test_features_are_seen_through_moves(self):
        graph = network(
            ("conv", "compute", CONV, "x"),
            ("pool", "follow", follow(), "conv"),
            ("flat", "follow", follow(), "pool"),
            ("classes", "compute", CONV, "flat"),
            sizes={"classes": (1, 10)},
            kinds={"pool": "pool", "flat": "move"},
            macs={"conv": 2_000_000, "classes": 100},
        )

        assert trifles(graph) == set()

    def test_a_product_of_model_inputs_is_none(self):
        graph = network(
            ("conv", "compute", CONV, "x"),
            ("small", "compute", CONV, "y"),
            sizes={"small": (1, 1, 1, 10)},
            macs={"conv": 2_000_000, "small": 100},
        )

        assert trifles(graph) == set()

    def test_what_leads_to_work_is_none(self):
        """Squeeze-and-excite has convolutions as small, on the way to large ones."""
        graph = network(
            ("conv", "compute", CONV, "x"),
            ("gate", "float", REFUSED, "conv"),
            ("small", "compute", CONV, "gate"),
            ("scaled", "follow", follow(2), "conv small"),
            ("last", "compute", CONV, "scaled"),
            sizes={"small": (1, 8, 1, 1)},
            kinds={"gate": "activation"},
            macs={"conv": 2_000_000, "small": 64, "last": 2_000_000},
        )

        assert trifles(graph) == set()
