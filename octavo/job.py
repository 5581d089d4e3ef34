"""The configuration of a quantization: one typed object for Python, YAML and the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from octavo.errors import UsageError, nearest
from octavo.fields import (
    Corrections,
    Duration,
    Layout,
    Numbers,
    Patterns,
    Shapes,
    Size,
    Text,
    ToleranceField,
)
from octavo.tolerance import Tolerance

Approach: TypeAlias = Literal["auto", "static", "dynamic"]
Objective: TypeAlias = Literal["speed", "size", "memory"]
Strategy: TypeAlias = Literal["solve", "fallback", "tpe", "random", "grid", "nsga2"]
RangeChoice: TypeAlias = Literal["auto", "minmax", "percentile", "entropy", "mse"]


class Settings(BaseModel):
    """A frozen set of options whose mistakes are `UsageError`s of one line."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=False)

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except ValidationError as error:
            raise UsageError(_explain(error, type(self))) from None


class Preprocessing(Settings):
    """How pictures of an image folder become the numbers that the model was trained on.

    The pixels are resized, cut from the centre, and become `(pixel * scale - mean) / std`.
    """

    size: Size = Field(
        default=None,
        description="Height and width in pixels, or one number for both; by default those of the "
        "model's input.",
    )
    resize: int | None = Field(
        default=None,
        ge=1,
        description="The shorter side in pixels before the cut; by default no more "
        "than the cut needs.",
    )
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = Field(
        default="bilinear", description="How pixels are resampled."
    )
    layout: Layout | None = Field(
        default=None, description="Where the channels are; by default found in the model's input."
    )
    scale: float | None = Field(
        default=None, description="Factor on pixels of 0 to 255; 1/255 for float inputs by default."
    )
    mean: Numbers = Field(
        default=(0.0,), description="Subtracted after scaling; one, or one per channel."
    )
    std: Numbers = Field(
        default=(1.0,), description="Divided by in the end; one, or one per channel."
    )


class QuantizeJob(Settings):
    """Everything that `quantize` can be told in text.

    Objects that only Python has (a model, an iterable of batches, a function) are given to
    `octavo.quantize` beside it and leave their fields empty.

    Raises:
        UsageError: an unknown option (the nearest valid one is named) or an invalid value.
    """

    source: Text | None = Field(default=None, description="The FP32 model: a file or a folder.")
    output: Text | None = Field(default=None, description="The artifact folder to write.")
    calibration: Text | None = Field(
        default=None,
        description="Data to take ranges from: digits:300, images:DIR, npz:FILE_OR_DIR.",
    )
    evaluation: Text | None = Field(default=None, description="Data to judge both models on.")
    metric: str | None = Field(
        default=None,
        description="How outputs are judged; by default what labels and outputs allow.",
    )
    tolerance: ToleranceField = Field(
        default=Tolerance(0.01, relative=True),
        description="The accepted loss: '1%' (or 0.01) of FP32, or '0.5 absolute' in the units of "
        "the metric.",
        json_schema_extra={"default": "1%"},
    )
    approach: Approach = Field(
        default="auto", description="Ranges fixed beforehand or found at run time."
    )
    ranges: RangeChoice = Field(default="auto", description="How statistics become ranges.")
    percentile: float = Field(
        default=99.999, gt=50, le=100, description="Percent of values kept by ranges: percentile."
    )
    correct: Corrections = Field(
        default="auto",
        description="Changes to the model before it is quantized: equalize, smooth, round, bias, "
        "or several of them; auto makes all where the plain model loses too much.",
    )
    per_channel: bool = Field(default=True, description="One weight scale per output channel.")
    float_patterns: Patterns = Field(
        default=(), alias="float", description="Groups that stay float: ids, with * and ?."
    )
    int8_patterns: Patterns = Field(
        default=(), alias="int8", description="Groups that are forced to INT8: ids, with * and ?."
    )
    preprocessing: Preprocessing = Field(
        default=Preprocessing(), description="How pictures of an image folder are prepared."
    )
    shapes: Shapes = Field(
        default={},
        description="Sizes of inputs of random data by name, the batch first; needed where "
        "dimensions are free.",
    )
    runtime: Text | None = Field(
        default=None,
        description="What runs the model, where more than one can: onnxruntime or openvino for "
        "ONNX; by default the first.",
    )
    objective: Objective = Field(
        default="speed",
        description="What is wanted of a plan within the tolerance: speed, the size of the model's "
        "files, or the memory of the process that runs it.",
    )
    strategy: Strategy = Field(
        default="solve",
        description="How plans are found: solve prices and solves; fallback, tpe, random, grid and "
        "nsga2 are the classic ways, for comparison.",
    )
    max_evaluations: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="No further plan is begun once this many evaluations were spent; by default "
        "100 for other strategies than solve.",
    )
    timeout: Duration | None = Field(
        default=None,
        description="No further plan is begun after this time: seconds, or text such as 30m, 2h.",
        json_schema_extra={"default": None},
    )
    study: Text | None = Field(
        default=None,
        description="Where trials are kept: a folder, or a database such as sqlite:///study.db; "
        "by default in the artifact's folder.",
    )
    resume: bool = Field(default=False, description="Go on with the study of an earlier run.")
    threads: int = Field(default=1, ge=1, description="Threads of one instance on the target.")
    calibration_samples: int | None = Field(
        default=None,
        ge=1,
        description="Samples to calibrate on, at most; by default the number in `calibration` "
        "(digits:1000), else 300.",
    )
    evaluation_samples: int | None = Field(
        default=None, ge=1, description="Samples to evaluate on, at most; all by default."
    )
    batch_size: int = Field(
        default=32, ge=1, description="Samples of one forward while calibrating and evaluating."
    )
    benchmark_batch_size: int = Field(
        default=1, ge=1, description="Samples of one forward when timed."
    )
    seconds: float = Field(
        default=10.0,
        gt=0,
        allow_inf_nan=False,
        description="Time spent on measuring one pair of models.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of every random choice.")
    allow_overlap: bool = Field(
        default=False, description="Accept evaluation samples that calibration saw, by content."
    )
    requantize: bool = Field(
        default=False,
        description="Take the quantization out of a model that carries it, and quantize it anew.",
    )
    trust: bool = Field(default=False, description="Accept files that can run code of their own.")

    @classmethod
    def from_yaml(cls, path: str | Path) -> QuantizeJob:
        """Read a job from a YAML file.

        Raises:
            UsageError: the file cannot be read, is not a mapping, or holds a wrong option.
        """
        return cls(**read_yaml(path))

    def to_yaml(self) -> str:
        """Return the options that differ from their defaults; `from_yaml` reads them back."""
        return yaml.safe_dump(self.to_json(only_set=True), sort_keys=False)

    def to_json(self, *, only_set: bool = False) -> dict[str, Any]:
        """Return a JSON-ready form; `QuantizeJob(**data)` reads it back.

        Args:
            only_set: leave out options that have their default value.
        """
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=only_set)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, empty for an empty file.

    Raises:
        UsageError: the file cannot be read or does not hold a mapping with names as keys.
    """
    try:
        content = yaml.safe_load(Path(path).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the job file {str(path)!r}: {error}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{str(path)!r} is not YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UsageError(f"{str(path)!r} is not a job; expected lines such as 'tolerance: 1%'")
    return content


def job_schema() -> str:
    """Return the JSON Schema of a job file."""
    return json.dumps(QuantizeJob.model_json_schema(by_alias=True), indent=2)


def option_names(settings: type[Settings]) -> list[str]:
    """Return the names its options have in Python, YAML and (with dashes) on the command line."""
    return [field.alias or name for name, field in settings.model_fields.items()]


def _explain(error: ValidationError, settings: type[Settings]) -> str:
    return "; ".join(_explain_one(dict(one), settings) for one in error.errors())


def _explain_one(one: dict[str, Any], settings: type[Settings]) -> str:
    name = ".".join(str(part) for part in one["loc"])
    if one["type"] == "extra_forbidden":
        names = option_names(settings)
        return f"unknown option {name!r}{nearest(name, names) or '; known are ' + ', '.join(names)}"
    return f"option {name!r}: {one['msg'][:1].lower()}{one['msg'][1:]}, not {one['input']!r}"
