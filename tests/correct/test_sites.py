"""Sites: the tensors whose channels can be scaled together, and what cannot be."""

from dataclasses import replace

import pytest
from small_networks import BACKEND, TARGET, Small, deep

from octavo.backends.reference.network import Layer
from octavo.correct.constants import Constants
from octavo.correct.sites import NotScalable, find_site, find_sites
from octavo.graph import Scaling
from octavo.testing.networks import NETWORKS


def sites_of(network, change=lambda graph: graph):
    model = BACKEND.load(network)
    graph = change(BACKEND.graph(model, TARGET))
    return find_sites(graph, Constants(BACKEND, model))


def refusal(network, tensor, channels, change=lambda graph: graph):
    model = BACKEND.load(network)
    graph = change(BACKEND.graph(model, TARGET))
    with pytest.raises(NotScalable) as caught:
        find_site(graph, Constants(BACKEND, model), tensor, 1, channels)
    return str(caught.value)


def changed(name, **fields):
    """Return what replaces fields of the operator called `name` in a graph."""

    def change(graph):
        ops = tuple(replace(op, **fields) if op.name == name else op for op in graph.ops)
        return replace(graph, ops=ops)

    return change


def test_factors_pass_activations_pools_and_flattening_of_one_position():
    first, second, third = sites_of(NETWORKS["convnet"]())
    assert (first.makers, first.readers) == (("stem",), ("depthwise",))
    assert set(first.axes) == {"stem.out", "stem_relu.out"}
    assert (second.makers, second.readers) == (("depthwise",), ("pointwise",))
    assert set(second.axes) == {"depthwise.out", "pool.out"}
    assert (third.makers, third.readers) == (("pointwise",), ("classifier",))
    assert third.axes["average.out"] == third.axes["flat.out"] == 1
    assert (first.channels, third.channels) == (16, 24)


def test_a_residual_stream_is_one_site():
    """c1 and c3 add to what c0 and c2 make; all of it is scaled together or not at all."""
    stream = next(site for site in sites_of(deep(layers=5)) if len(site.makers) > 1)
    assert set(stream.makers) == {"c0", "c1"}
    assert set(stream.readers) == {"c1", "c2"}


def test_what_leaves_the_model_is_not_scaled():
    assert "crosses the model's border" in refusal(NETWORKS["residual"](), "first_relu.out", 16)


def test_what_another_operator_takes_at_its_own_scale_is_not_scaled():
    network = NETWORKS["convnet"]()
    layers = (*network.layers, Layer("s", "softmax", ("stem_relu.out",), "s.out"))
    network = replace(network, layers=layers, outputs=(*network.outputs, "s.out"))
    assert "'s' (softmax) takes no factors" in refusal(network, "stem.out", 16)
    assert len(sites_of(network)) == 2


def test_a_shared_weight_is_not_scaled():
    network = NETWORKS["mlp"]()
    shared = replace(network.layers[2], name="again", output="again.out")
    network = replace(
        network, layers=(*network.layers, shared), outputs=("output.out", "again.out")
    )
    assert "'output.weight' is read in several places" in refusal(network, "hidden.out", 32)


def test_joined_channels_are_not_scaled():
    assert "'join' (concat) takes no factors" in refusal(NETWORKS["concat"](), "small.out", 8)


def test_another_number_of_channels_is_refused():
    assert "has no 8 channels" in refusal(NETWORKS["mlp"](), "hidden.out", 8)


def test_an_operator_of_another_axis_is_refused():
    change = changed("pointwise_relu", scaling=Scaling(("pointwise.out",), axis=2))
    assert "lie along another axis" in refusal(NETWORKS["convnet"](), "pointwise.out", 24, change)


def test_axes_that_are_joined_are_refused():
    change = changed("flat", scaling=Scaling(("average.out",), axes=((0, 0),)))
    assert "is joined with others" in refusal(NETWORKS["convnet"](), "pointwise.out", 24, change)


def test_bounds_are_kept_with_the_tensor_that_they_cut():
    change = changed("stem_relu", scaling=Scaling(("stem.out",), bounds=(0.0, 6.0)))
    first, *_ = sites_of(NETWORKS["convnet"](), change)
    assert first.bounds == {"stem_relu.out": (0.0, 6.0)}


def test_a_reader_of_the_shape_alone_is_no_hindrance():
    change = changed("sum", scaling=Scaling(ignores=("second.out", "first_relu.out")))
    assert [s.makers for s in sites_of(NETWORKS["residual"](), change)] == [("first",)]


def test_constants_that_make_a_scale_are_found(convnet: Small):
    from octavo.backends.base import Multiply

    factor = [1.0] * 3
    import numpy as np

    product = Multiply("image", 1, np.array(factor, np.float32), ("stem",))
    model = BACKEND.edit(convnet.model, [product])
    site, *_ = find_sites(BACKEND.graph(model, TARGET), Constants(BACKEND, model))
    assert (site.makers, site.readers) == ((), ("stem",))
    assert site.constants == {"image:scaled:factor": 0}
