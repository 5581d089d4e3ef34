"""A run that tests kill: it works through plans 0..N-1 and prints each that it judges."""

import sys
from dataclasses import replace

from octavo.plan import S8, Format, Plan
from octavo.search.study import StudyKey, open_study

KEY = StudyKey.of(model="m", configuration={"tolerance": "1%"})
CHOICES = {f"g{i}": ("int8 per channel", "fp32") for i in range(6)}
INT8 = Format("int8", replace(S8, axis=0), (S8,), (S8,))


def plan(number):
    return Plan({f"g{i}": INT8 for i in range(6) if number >> i & 1})


def run(place, count, resume, prefix=""):
    with open_study(place, KEY, resume=resume, choices=CHOICES) as study:
        print("open", flush=True)
        for number in range(count):
            if prefix or study.find(plan(number)) is None:
                trial = study.start(f"{prefix}{number}", plan(number), seed=number)
                trial.finish({"seconds": number / 10, "loss": float(number)})
                print(number, flush=True)


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), True, "".join(sys.argv[3:]))
