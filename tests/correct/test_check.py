import numpy as np
import pytest

from octavo.correct.check import output_errors
from octavo.errors import UnequalSizesError


class Outputs:
    """A backend whose models are their outputs."""

    def open(self, model, target):
        class Session:
            def run(self, batch):
                return {"picked": model}

        return Session()


def test_the_error_is_relative_to_the_first_model():
    before, after = np.full((4, 2), 2.0, np.float32), np.full((4, 2), 2.1, np.float32)
    errors = output_errors(Outputs(), before, after, [{}, {}], None)
    assert errors == {"picked": pytest.approx(0.05)}


@pytest.mark.parametrize("size", [41, 1])
def test_an_output_that_changes_its_size_is_named_and_not_broadcast(size):
    before, after = np.ones((43, 4), np.float32), np.ones((size, 4), np.float32)
    with pytest.raises(UnequalSizesError, match=rf"'picked' .*\(\[43, 4\] and \[{size}, 4\]\)"):
        output_errors(Outputs(), before, after, [{}], None)
