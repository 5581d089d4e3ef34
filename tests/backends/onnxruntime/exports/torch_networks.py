"""Small PyTorch networks with what exporters meet in practice: random weights, tiny widths."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvNorm(nn.Sequential):
    """A convolution that keeps the size at stride 1, BatchNorm and an activation."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        activation: type[nn.Module] = nn.ReLU,
    ):
        convolution = nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        super().__init__(convolution, nn.BatchNorm2d(outputs), activation())


class Residual(nn.Module):
    """Two 3x3 convolutions beside an identity, or beside a 1x1 convolution where sizes change."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.first = ConvNorm(inputs, outputs, 3, stride)
        self.second = ConvNorm(outputs, outputs, 3, activation=nn.Identity)
        same = inputs == outputs and stride == 1
        self.shortcut = (
            nn.Identity() if same else ConvNorm(inputs, outputs, 1, stride, activation=nn.Identity)
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.second(self.first(x)) + self.shortcut(x))


class ResNet(nn.Module):
    """A stem with max pooling, three residual blocks, a global pool and a classifier."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.stem = ConvNorm(3, width, 3, 2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.blocks = nn.Sequential(
            Residual(width, width), Residual(width, 2 * width, 2), Residual(2 * width, 2 * width)
        )
        self.head = nn.Linear(2 * width, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.blocks(self.pool(self.stem(image)))
        return self.head(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))


class SqueezeExcite(nn.Module):
    """Channels scaled by a HardSigmoid of what a small network makes of their means."""

    def __init__(self, channels: int, inner: int):
        super().__init__()
        self.reduce = nn.Conv2d(channels, inner, 1)
        self.expand = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = functional.relu(self.reduce(functional.adaptive_avg_pool2d(x, 1)))
        return x * functional.hardsigmoid(self.expand(scale))


class Inverted(nn.Module):
    """MobileNetV3's block: expand, depthwise, squeeze-excite, project, and the residual."""

    def __init__(self, inputs: int, expanded: int, outputs: int, kernel: int, stride: int):
        super().__init__()
        self.expand = ConvNorm(inputs, expanded, 1, activation=nn.Hardswish)
        self.depthwise = ConvNorm(
            expanded, expanded, kernel, stride, expanded, activation=nn.Hardswish
        )
        self.squeeze = SqueezeExcite(expanded, 8)
        self.project = ConvNorm(expanded, outputs, 1, activation=nn.Identity)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.squeeze(self.depthwise(self.expand(x))))
        return x + y if self.residual else y


class MobileNet(nn.Module):
    """A MobileNetV3 of three blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 8, 3, 2, activation=nn.Hardswish)
        self.blocks = nn.Sequential(
            Inverted(8, 16, 8, 3, 1), Inverted(8, 24, 16, 5, 2), Inverted(16, 32, 16, 3, 1)
        )
        self.last = ConvNorm(16, 48, 1, activation=nn.Hardswish)
        self.head = nn.Sequential(nn.Linear(48, 32), nn.Hardswish(), nn.Linear(32, 10))

    def forward(self, image: Tensor) -> Tensor:
        x = self.last(self.blocks(self.stem(image)))
        return self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class EncoderLayer(nn.Module):
    """Attention and a feed-forward block written out, with LayerNorm behind each."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def split(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        return x.reshape(batch, length, self.heads, width // self.heads).transpose(1, 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + mask
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = self.norm1(x + self.out(mixed))
        return self.norm2(x + self.down(functional.gelu(self.up(x))))


class Encoder(nn.Module):
    """Token and position embeddings and two layers; two inputs and two outputs."""

    def __init__(self, width: int = 24, heads: int = 2, words: int = 96, length: int = 32):
        super().__init__()
        self.words, self.positions = nn.Embedding(words, width), nn.Embedding(length, width)
        self.layers = nn.ModuleList([EncoderLayer(width, heads) for _ in range(2)])
        self.head = nn.Linear(width, 4)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x = self.words(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        bias = (1.0 - mask[:, None, None, :].to(x.dtype)) * -10000.0
        for layer in self.layers:
            x = layer(x, bias)
        return x, self.head(x[:, 0])


class Bert(nn.Module):
    """The BertModel of transformers in tiny; its own forward takes keyword arguments only."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        config = BertConfig(
            vocab_size=96, hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=72, max_position_embeddings=32, attn_implementation="eager",
            initializer_range=0.2,
        )  # fmt: skip
        self.model = BertModel(config)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        made = self.model(input_ids=input_ids, attention_mask=attention_mask)
        return made.last_hidden_state, made.pooler_output


class Recurrent(nn.Module):
    """A projection, a bidirectional LSTM, a GRU and a classifier of the last step."""

    def __init__(self, width: int = 16):
        super().__init__()
        self.project = nn.Linear(8, width)
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(2 * width, width, batch_first=True)
        self.head = nn.Linear(width, 5)

    def forward(self, signal: Tensor) -> Tensor:
        x, _ = self.lstm(functional.relu(self.project(signal)))
        x, _ = self.gru(x)
        return self.head(x[:, -1])


class UNet(nn.Module):
    """Two levels down and up: a ConvTranspose, a bilinear and a nearest Resize, two skips."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.down1, self.down2 = ConvNorm(3, width), ConvNorm(width, 2 * width)
        self.middle = ConvNorm(2 * width, 2 * width)
        self.up = nn.ConvTranspose2d(2 * width, 2 * width, 2, 2)
        self.merge2 = ConvNorm(4 * width, width)
        self.merge1 = ConvNorm(2 * width, width, activation=nn.LeakyReLU)
        self.mask = nn.Conv2d(width, 2, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        first = self.down1(image)
        second = self.down2(functional.max_pool2d(first, 2))
        x = self.up(self.middle(functional.avg_pool2d(second, 2)))
        x = self.merge2(torch.cat([x, second], 1))
        x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        x = self.merge1(torch.cat([x, first], 1))
        mask = self.mask(x)
        return mask, functional.interpolate(mask, scale_factor=2.0, mode="nearest")


class Shared(nn.Module):
    """One tower run on two inputs, one linear layer applied twice: shared weights."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(ConvNorm(3, 8, 3, 2), ConvNorm(8, 16, 3, 2))
        self.mix = nn.Linear(16, 16)

    def embed(self, image: Tensor) -> Tensor:
        x = self.tower(image).mean((2, 3))
        return self.mix(functional.relu(self.mix(x)))

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, b = self.embed(left), self.embed(right)
        return a, b, (a - b).abs().sum(1, keepdim=True)


class Branching(nn.Module):
    """An If that scripting keeps, with convolutions before, inside and behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 8)
        self.bright = nn.Conv2d(8, 8, 3, padding=1)
        self.dark = nn.Conv2d(8, 8, 1)
        self.head = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        if bool(image.mean() > 0.0):  # noqa: SIM108, an expression would not be an If
            y = torch.relu(self.bright(x)) + x
        else:
            y = torch.relu(self.dark(x))
        return self.head(y)


class Looping(nn.Module):
    """A Loop that scripting keeps, as often as an input says, between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.step, self.leave = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, rows: Tensor, steps: Tensor) -> Tensor:
        x = torch.relu(self.enter(rows))
        state = x
        for _ in range(int(steps)):
            state = torch.tanh(self.step(state)) + x
        return self.leave(state)


class Conditional(nn.Module):
    """torch.cond, which torch.export keeps as an If."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = ConvNorm(3, 8), nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        y = torch.cond(image.mean() > 0.0, lambda v: v * 2.0, lambda v: v - 1.0, (x,))
        return self.head(y)


class Detector(nn.Module):
    """A YOLO-like head on two scales: sigmoid, grid, anchors, and boxes beside scores."""

    def __init__(self, classes: int = 3):
        super().__init__()
        self.stem = nn.Sequential(
            ConvNorm(3, 8, 3, 2, activation=nn.SiLU), ConvNorm(8, 16, 3, 2, activation=nn.SiLU)
        )
        self.deep = ConvNorm(16, 24, 3, 2, activation=nn.SiLU)
        self.heads = nn.ModuleList([nn.Conv2d(c, 2 * (5 + classes), 1) for c in (16, 24)])
        self.register_buffer(
            "anchors", torch.tensor([[[10.0, 13.0], [16.0, 30.0]], [[33.0, 23.0], [62.0, 45.0]]])
        )

    def decode(self, raw: Tensor, scale: int) -> Tensor:
        batch, channels, height, width = raw.shape
        stride = 4.0 * 2**scale
        y = raw.reshape(batch, 2, channels // 2, height, width).permute(0, 1, 3, 4, 2).sigmoid()
        rows, columns = torch.arange(height), torch.arange(width)
        grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1).to(raw.dtype)
        centre = (y[..., 0:2] * 2.0 - 0.5 + grid) * stride
        size = (y[..., 2:4] * 2.0) ** 2 * self.anchors[scale].reshape(1, 2, 1, 1, 2)
        found = torch.cat([centre, size, y[..., 4:]], -1)
        return found.reshape(batch, -1, channels // 2)

    def forward(self, image: Tensor) -> Tensor:
        shallow = self.stem(image)
        features = [shallow, self.deep(shallow)]
        parts = [
            self.decode(head(x), scale)
            for scale, (head, x) in enumerate(zip(self.heads, features, strict=True))
        ]
        return torch.cat(parts, 1)
