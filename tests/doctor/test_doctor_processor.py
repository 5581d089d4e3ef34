import pytest
from doctor_machines import GRAVITON, HASWELL, OLD, SAPPHIRE, ZEN5

from octavo.doctor.processor import describe_processor, int8_in_words


@pytest.mark.parametrize(
    ("cpu", "words"),
    [
        (ZEN5, "U8 x S8 with full-range weights (VNNI)"),
        (SAPPHIRE, "U8 x S8 with full-range weights (AMX)"),
        (
            HASWELL,
            "U8 x S8 with 7-bit weights "
            "(no VNNI: sums of 8-bit products would saturate at 16 bits)",
        ),
        (GRAVITON, "U8 x S8 with full-range weights (dot product)"),
    ],
)
def test_int8_is_said_in_plain_words(cpu, words):
    assert int8_in_words(cpu) == words


@pytest.mark.parametrize(
    ("cpu", "wanted"),
    [(ZEN5, False), (SAPPHIRE, False), (HASWELL, True), (OLD, True), (GRAVITON, False)],
)
def test_x86_without_vnni_saturates(cpu, wanted):
    assert cpu.saturates == wanted


def test_a_processor_without_avx2_is_called_slow():
    assert "slow: no AVX2 either" in int8_in_words(OLD)


def test_instruction_sets_that_matter_are_named():
    assert describe_processor(ZEN5).instructions == {
        **{"AVX2": True, "AVX512": True, "VNNI": True},
        **{"AMX": False, "BF16": True},
    }
    assert describe_processor(HASWELL).instructions["VNNI"] is False
    assert describe_processor(GRAVITON).instructions == {
        **{"DOTPROD": True, "I8MM": True, "SVE": True, "BF16": True}
    }
