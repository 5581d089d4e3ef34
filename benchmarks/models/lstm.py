"""An LSTM that reads a picture row by row, on features of the demo's network."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from benchmarks.models.backbone import Backbone
from benchmarks.models.unequal import divide, factors, multiply
from examples.digits.train import ConvNorm


class RowReader(nn.Module):
    """Images `[N, 3, 64, 64]` to logits `[N, 10]`: 8 rows, each the features of 8 places."""

    CHANNELS, PLACES, HIDDEN = 16, 8, 48

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.features = ConvNorm(Backbone.CHANNELS, self.CHANNELS, 3, stride=2)
        self.read = nn.LSTM(self.CHANNELS * self.PLACES, self.HIDDEN)
        self.classify = nn.Linear(self.HIDDEN, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        values = functional.relu(self.features(self.backbone(image)))
        width = self.CHANNELS * self.PLACES
        rows = values.permute(2, 0, 1, 3).reshape(self.PLACES, -1, width)
        states, _ = self.read(rows)
        return self.classify(states.mean(dim=0))

    def spread(self, deviation: float) -> None:
        """Scale channels by log-normal factors; the function stays what it is.

        The LSTM reads all features on one scale, and no constant behind them but its own weights
        can take factors.
        """
        convolution = self.features[0]
        assert isinstance(convolution, nn.Conv2d)
        divide(convolution, self.backbone.spread(deviation))
        factor = factors(self.CHANNELS, deviation)
        multiply(self.features, factor)
        self.read.weight_ih_l0.data /= factor.repeat_interleave(self.PLACES)
