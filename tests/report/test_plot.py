import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from octavo.errors import ArtifactError, UsageError
from octavo.report.plot import draw_plot, write_plot
from octavo.report.svg import shortened, width_of

SVG = "{http://www.w3.org/2000/svg}"


def row(model="int8", role="model", throughput=500.0, latencies=(1.5, 2.0, 2.5, 9.0), **changes):
    return {
        "model": model,
        "role": role,
        "instances": 1,
        "cores_per_instance": 1,
        "batch_size": 1,
        "shapes": {"input": [1, 3, 32, 32]},
        "throughput": {
            "samples_per_s": throughput,
            "interval": [throughput * 0.9, throughput * 1.05],
        },
        "latency_ms": {"p50": 2.0, "p90": 5.0, "p99": 8.0, "p999": 9.0},
        "latencies_ms": list(latencies),
    } | changes


def draw(*rows, **more):
    return ElementTree.fromstring(draw_plot({"rows": list(rows), **more}))


def texts(tree):
    """Return every text that is seen."""
    return [element.text or element[0].tail for element in tree.iter(f"{SVG}text")]


def hints(tree):
    return [element.text for element in tree.iter(f"{SVG}title")]


def bars(tree):
    """Return the widths of the bars of throughput; the legend's and the background are no bars."""
    found = [element.attrib for element in tree.iter(f"{SVG}rect")]
    return [float(bar["width"]) for bar in found if bar.get("height") == "14.0"]


def curves(tree):
    """Return the coloured lines, each as its style and its points."""
    lines = [line.attrib for line in tree.iter(f"{SVG}polyline") if line.get("stroke-width") == "2"]
    return [
        (line["stroke"], line.get("stroke-dasharray"), points(line["points"])) for line in lines
    ]


def points(text):
    return [tuple(map(float, point.split(","))) for point in text.split()]


def corners(element):
    """Return the places that an element reaches."""
    at = element.attrib
    if "points" in at:
        return points(at["points"])
    if "cx" in at:
        return [(float(at["cx"]), float(at["cy"]))]
    x, y = float(at.get("x", 0)), float(at.get("y", 0))
    if "height" in at:
        return [(x, y), (x + float(at["width"]), y + float(at["height"]))]
    return [(x, y)]


def assert_inside(tree):
    """Assert that all is on the page, texts by the width that they have at most."""
    width, height = float(tree.get("width")), float(tree.get("height"))
    for element in tree.iter():
        if element.tag in (f"{SVG}rect", f"{SVG}text", f"{SVG}polyline", f"{SVG}circle"):
            for x, y in corners(element):
                assert -0.05 <= x <= width + 0.05
                assert -0.05 <= y <= height + 0.05
    for element in tree.iter(f"{SVG}text"):
        if "transform" not in element.attrib:
            wide = width_of(element.text or element[0].tail, int(element.get("font-size")))
            x = float(element.get("x"))
            left = x - wide * {"start": 0, "middle": 0.5, "end": 1}[element.get("text-anchor")]
            assert left >= 0
            assert left + wide <= width


def test_the_file_is_svg_with_axes_units_and_names(tmp_path):
    path = tmp_path / "plot.svg"
    write_plot({"rows": [row(), row("fp32", "baseline", 300.0)]}, path)
    tree = ElementTree.parse(path).getroot()
    assert tree.tag == f"{SVG}svg"
    found = texts(tree)
    assert {"int8", "fp32 (baseline)", "500", "300", "50 %", "99.9 %"} <= set(found)
    assert any("samples per second" in text and "95 % interval" in text for text in found)
    assert any("latency of a call in ms" in text for text in found)
    assert "1 instance x 1 core, batch 1, input 3x32x32" in found
    assert_inside(tree)


def test_labels_of_ticks_do_not_overlap():
    rows = [row(instances=n, throughput=3e9, latencies=[3.0 * n, 700.0 * n]) for n in range(1, 8)]
    labels = [
        (float(text.get("y")), float(text.get("x")), width_of(text.text, 12))
        for text in draw(*rows).iter(f"{SVG}text")
        if text.get("font-size") == "12" and text.get("text-anchor") == "middle"
    ]
    assert len(labels) > 20
    for (y, x, width), (next_y, next_x, next_width) in pairwise(sorted(labels)):
        assert y != next_y or x + width / 2 < next_x - next_width / 2


def test_bars_are_as_long_as_throughputs_and_carry_their_intervals():
    tree = draw(row(throughput=600.0), row("fp32", "baseline", throughput=300.0))
    first, second = bars(tree)
    assert first == pytest.approx(2 * second, abs=0.2)
    spans = [
        points(line.get("points"))
        for line in tree.iter(f"{SVG}polyline")
        if line.get("stroke-width") == "1.5"
    ]
    whiskers = [span for span in spans if span[0][1] == span[1][1]]
    lengths = [span[1][0] - span[0][0] for span in whiskers]
    assert lengths == pytest.approx([first * 0.15, second * 0.15], abs=0.3)


def test_a_baseline_is_told_from_a_model_without_its_colour():
    tree = draw(row(), row("fp32", "baseline"))
    (_, solid, _), (_, dashed, _) = curves(tree)
    assert (solid, dashed) == (None, "5 3")
    opacities = [bar.get("fill-opacity") for bar in tree.iter(f"{SVG}rect")]
    assert opacities[-2:] == [None, "0.25"]


def test_a_curve_rises_with_the_share_of_calls_and_shows_the_tail():
    latencies = [1 + 0.001 * index for index in range(2000)]
    ((_, _, line),) = curves(draw(row(latencies=latencies)))
    xs, ys = zip(*line, strict=True)
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys, reverse=True)
    assert 100 < len(line) < 500


def test_the_slowest_tenth_hundredth_and_thousandth_have_equal_room():
    heights = {element.text: float(element.get("y")) for element in draw(row()).iter(f"{SVG}text")}
    ninety, two_nines, three_nines = (heights[text] for text in ("90 %", "99 %", "99.9 %"))
    assert ninety - two_nines == pytest.approx(two_nines - three_nines, abs=0.2)
    assert heights["50 %"] > ninety


def test_percentiles_are_dots_that_tell_their_numbers():
    tree = draw(row())
    assert len(list(tree.iter(f"{SVG}circle"))) == 4
    assert {"int8: p50 2 ms", "int8: p99.9 9 ms"} <= set(hints(tree))


def test_layouts_get_a_group_of_bars_and_a_panel_each():
    layouts = [(1, 2), (2, 1)]
    tree = draw(
        *(
            row(model, role, instances=instances, cores_per_instance=cores)
            for instances, cores in layouts
            for model, role in [("int8", "model"), ("fp32", "baseline")]
        )
    )
    found = texts(tree)
    assert [found.count(name) for name in ("1 x 2 cores", "2 x 1 core")] == [
        2,
        2,
    ]
    assert "batch 1, input 3x32x32" in found
    assert "Throughput by instances x cores" in found
    assert len(bars(tree)) == len(curves(tree)) == 4
    assert_inside(tree)


def test_models_keep_their_colours_in_all_layouts():
    tree = draw(*(row(m, instances=n) for n in (1, 2) for m in ("a", "b")))
    colours = [colour for colour, _, _ in curves(tree)]
    assert colours[:2] == colours[2:]
    assert len(set(colours)) == 2


def test_more_models_than_colours_differ_by_their_lines():
    styles = {(colour, dash) for colour, dash, _ in curves(draw(*map(row, "abcdefghij")))}
    assert len(styles) == 10


def test_many_layouts_fit_on_the_page():
    rows = [
        row(m, r, instances=n, cores_per_instance=32 // n, batch_size=b, shapes=[b, 3, 32, 32])
        for n in (1, 2, 4, 8, 16, 32)
        for b in (1, 8, 32)
        for m, r in [("int8", "model"), ("fp32", "baseline")]
    ]
    tree = draw(*rows)
    assert len(bars(tree)) == 36
    assert "32 x 1 core, batch 8" in texts(tree)
    assert_inside(tree)


@pytest.mark.parametrize(
    ("shapes", "batch", "text"),
    [
        ({"a": [8, 3, 32, 32]}, 8, "a 3x32x32"),
        ({"a": [1, 128], "b": [1, 128], "c": [1, 128]}, 1, "3 inputs 128"),
        ({"a": [1, 128], "b": [1]}, 1, "a 128 b"),
        ({"a": [5, 7]}, 1, "a 5x7"),
        ([1, 5], 1, "5"),
        ("seq128", 1, "seq128"),
        (None, 1, ""),
    ],
)
def test_shapes_are_told_of_one_sample(shapes, batch, text):
    words = f"1 instance x 1 core, batch {batch}" + f", {text}" * bool(text)
    assert words in texts(draw(row(shapes=shapes, batch_size=batch)))


def test_names_that_are_long_or_hold_markup_are_text():
    nasty = '<b>&"quoted"\'</b>\x00\nnext'
    long = "resnet/" * 60
    wide = "模型" * 90
    tree = draw(
        row(nasty, instances=2), row(long), row(wide, shapes={"<in&put>": ["batch", 3]}, role="x")
    )
    found = texts(tree)
    assert '<b>&"quoted"\'</b>\ufffd next' in found
    assert any("…" in text for text in found)
    assert long in hints(tree)
    assert_inside(tree)


def test_equal_latencies_are_a_vertical_line():
    ((_, _, line),) = curves(draw(row(latencies=[2.0] * 50, latency_ms={"p50": 2.0})))
    assert len({x for x, _ in line}) == 1
    assert len({y for _, y in line}) > 5


def test_latencies_far_apart_are_on_a_logarithmic_axis():
    found = texts(draw(row(latencies=[0.5, 1, 400])))
    assert "latency of a call in ms, logarithmic" in found
    assert {"0.5", "5", "50", "500"} <= set(found)


def test_a_single_latency_is_shown():
    tree = draw(row(latencies=[3.5], latency_ms={}))
    assert len(curves(tree)) == 1
    assert_inside(tree)


def test_without_a_sample_the_percentiles_are_the_curve():
    ((_, _, line),) = curves(draw(row(latencies=[])))
    assert len(line) == 4


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, "many"])
def test_numbers_that_are_none_are_left_out(missing):
    bare = row(latencies=[1.0, missing, 2.0], latency_ms={"p50": missing, "p90": 2.0})
    bare["throughput"] = {"samples_per_s": 10.0, "interval": [missing, 12.0]}
    tree = draw(bare)
    assert len(list(tree.iter(f"{SVG}circle"))) == 1
    assert not [line for line in tree.iter(f"{SVG}polyline") if line.get("stroke-width") == "1.5"]
    assert_inside(tree)


def test_a_noisy_result_is_called_noisy():
    tree = draw(row(noise=["other processes used 30%"], throughput=1e6), row("fp32", noise=[]))
    found = texts(tree)
    assert "1,000,000 noisy" in found
    assert "500" in found
    assert_inside(tree)


def test_the_processor_is_named_where_the_result_does():
    assert "Chip 9, 1 instance x 1 core, batch 1, input 3x32x32" in texts(
        draw(row(), machine={"cpu": "Chip 9"})
    )


@pytest.mark.parametrize("limit", [1.0, 4.0, 200.0])
def test_the_latency_limit_is_on_the_axis_and_ends_at_99_percent(limit):
    tree = draw(row(), p99_limit_ms=limit)
    limits = [line for line in tree.iter(f"{SVG}polyline") if line.get("stroke-dasharray") == "2 3"]
    (((x, _), (same, top)),) = [points(line.get("points")) for line in limits]
    dots = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in tree.iter(f"{SVG}circle")]
    p99 = dots[2]  # 8 ms
    assert x == same
    assert top == pytest.approx(p99[1], abs=0.1)
    assert (x > p99[0]) == (limit > 8)
    assert f"dotted: the limit of {limit:g} ms for 99 % of the calls" in texts(tree)
    assert_inside(tree)


def test_throughput_alone_has_no_panel_of_latencies():
    found = texts(draw(row(latencies=[], latency_ms=None)))
    assert "Throughput" in found
    assert "Latency" not in found


def test_no_number_in_the_file_is_no_number():
    text = draw_plot({"rows": [row(throughput=0.0, latencies=[1e-9, 1e9])]})
    assert not re.search(r'"[^"]*\b(nan|inf)\b[^"]*"', text)


@pytest.mark.parametrize("result", [{}, {"rows": []}, {"rows": None}])
def test_a_result_without_rows_is_refused(result):
    with pytest.raises(UsageError, match="no rows to plot"):
        draw_plot(result)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    path = tmp_path / "absent" / "plot.svg"
    with pytest.raises(ArtifactError, match=r"cannot write the plot to .*absent/plot\.svg"):
        write_plot({"rows": [row()]}, path)


def test_what_is_too_long_loses_its_middle():
    assert shortened("abc", 100) == "abc"
    short = shortened("abcdefghijklmnopqrstuvwxyz", 80)
    assert short.startswith("abc")
    assert short.endswith("xyz")
    assert "…" in short
    assert width_of(short) <= 80
    assert shortened("模型模型模型", 1) == "…"
