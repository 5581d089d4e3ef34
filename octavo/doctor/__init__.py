"""What this machine can do, what is missing, and what would ruin a benchmark here."""

from octavo.doctor.conditions import read_governor
from octavo.doctor.diagnosis import Diagnosis, diagnose
from octavo.doctor.processor import describe_processor

__all__ = ["Diagnosis", "describe_processor", "diagnose", "read_governor"]
