"""The README and the docs hold the tables that the committed results give."""

from pathlib import Path

from benchmarks.table import ACCURACY, BEGIN, END, insert, render, render_recovery

README = Path(__file__).parent.parent / "README.md"


def test_the_table_of_results_is_the_generated_one() -> None:
    text = README.read_text()
    assert text.split(BEGIN)[1].split(END)[0].strip() == render()


def test_inserting_replaces_only_what_is_between_the_markers() -> None:
    assert insert(f"a {BEGIN} old {END} b", "new") == f"a {BEGIN}\nnew\n{END} b"


def test_the_table_of_recovered_accuracy_is_the_generated_one() -> None:
    text = ACCURACY.read_text()
    assert text.split(BEGIN)[1].split(END)[0].strip() == render_recovery()
