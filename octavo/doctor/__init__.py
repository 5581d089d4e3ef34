"""What this machine can do, what is missing, and what would ruin a benchmark here."""

from octavo.doctor.conditions import read_governor
from octavo.doctor.diagnosis import Diagnosis, diagnose

__all__ = ["Diagnosis", "diagnose", "read_governor"]
