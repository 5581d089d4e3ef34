"""The README holds the table that the committed results give."""

from pathlib import Path

from benchmarks.table import BEGIN, END, insert, render

README = Path(__file__).parent.parent / "README.md"


def test_the_table_of_results_is_the_generated_one() -> None:
    text = README.read_text()
    assert text.split(BEGIN)[1].split(END)[0].strip() == render()


def test_inserting_replaces_only_what_is_between_the_markers() -> None:
    assert insert(f"a {BEGIN} old {END} b", "new") == f"a {BEGIN}\nnew\n{END} b"
