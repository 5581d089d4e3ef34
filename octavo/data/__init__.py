"""Calibration and evaluation data: what the user names, checked against the model."""

from octavo.data.base import Dataset, LabelledBatch, Role
from octavo.data.checked import CheckedDataset, digest, overlap
from octavo.data.labels import class_warnings
from octavo.data.opening import DataSource, open_dataset
from octavo.data.preprocess import Preprocess
from octavo.data.ranges import InputRange, input_ranges, suspicious_ranges
from octavo.data.synthetic import random_dataset

__all__ = [
    "CheckedDataset",
    "DataSource",
    "Dataset",
    "InputRange",
    "LabelledBatch",
    "Preprocess",
    "Role",
    "class_warnings",
    "digest",
    "input_ranges",
    "open_dataset",
    "overlap",
    "random_dataset",
    "suspicious_ranges",
]
