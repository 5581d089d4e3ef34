"""Random plans for random networks, of any runtime of ONNX models."""

from hypothesis import strategies as st
from onnx_case import TARGET, Case
from random_networks import networks

from octavo.backends.onnxruntime import OnnxRuntimeBackend
from octavo.plan import Plan


@st.composite
def any_plans(draw: st.DrawFn, backend: OnnxRuntimeBackend) -> Case:
    """Draw a network and any plan for it."""
    drawn = draw(networks())
    model = backend.load(drawn.proto)
    formats = {}
    for group in backend.graph(model, TARGET).groups:
        # mostly the first format, as plans have it
        choices = [None, *group.formats, *group.formats[:1] * 4]
        if (chosen := draw(st.sampled_from(choices))) is not None:
            formats[group.id] = chosen
    return Case(model, Plan(formats), drawn.batch, backend=backend)
