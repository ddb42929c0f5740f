"""Text with units against numbers worked out by hand, and the way there and back."""

import math
import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from costmodel.errors import CostModelError
from costmodel.units import EXAMPLES, UNITS, exact, human, parse, pattern

thorough = settings(max_examples=300, deadline=None)


@pytest.mark.parametrize(
    ("text", "unit", "number"),
    [
        ("0 B", "B", 0),
        ("7 B", "B", 7),
        ("1 kB", "B", 1_000),
        ("1 MB", "B", 1_000_000),
        ("1 MiB", "B", 1_048_576),
        ("1 GB", "B", 1_000_000_000),
        ("1 GiB", "B", 1_073_741_824),
        ("1 KiB", "B", 1_024),
        ("2 TiB", "B", 2_199_023_255_552),
        ("3 PB", "B", 3_000_000_000_000_000),
        ("1.5 kB", "B", 1_500),
        ("0.5 KiB", "B", 512),
        ("6.422528 MB", "B", 6_422_528),
        ("1e3 kB", "B", 1_000_000),
        ("25e-1 kB", "B", 2_500),
        ("  1MB  ", "B", 1_000_000),
        ("-2 kB", "B", -2_000),
        ("+2 kB", "B", 2_000),
        ("123456789012345678901234567.089 kB", "B", 123_456_789_012_345_678_901_234_567_089),
        ("1 B/s", "B/s", 1.0),
        ("1 GB/s", "B/s", 1e9),
        ("1 GiB/s", "B/s", 1_073_741_824.0),
        ("25.6 GB/s", "B/s", 25.6e9),
        ("0.1 kB/s", "B/s", 100.0),
        ("1 TFLOPS", "OP/s", 1e12),
        ("10 GFLOPS", "OP/s", 1e10),
        ("10 GFLOP/s", "OP/s", 1e10),
        ("3 MOPS", "OP/s", 3e6),
        ("3 kOP/s", "OP/s", 3e3),
        ("1 PFLOPS", "OP/s", 1e15),
        ("1 MAC/s", "OP/s", 2.0),
        ("4 TMAC/s", "OP/s", 8e12),
        ("2 s", "s", 2.0),
        ("2 ms", "s", 0.002),
        ("3 us", "s", 3e-6),
        ("5 ns", "s", 5e-9),
        ("0.1 ms", "s", 1e-4),
    ],
)
def test_text_to_number(text, unit, number):
    parsed = parse(text, unit)
    assert parsed == number
    assert type(parsed) is (int if unit == "B" else float)


def test_a_decimal_megabyte_is_no_binary_one():
    assert parse("1 MiB", "B") - parse("1 MB", "B") == 48_576


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(("text", "number"), [("inf", math.inf), ("+inf", math.inf), ("-inf", -math.inf)])
def test_infinity_needs_no_unit(text, number, unit):
    assert parse(text, unit) == number
    assert parse(f"{text} {EXAMPLES[unit].split()[1]}", unit) == number


@pytest.mark.parametrize(
    ("text", "unit", "problem"),
    [
        ("1000", "B", "'1000' has no unit; accepted is a number with a unit, such as '1 MB'"),
        ("1e9", "B/s", "'1e9' has no unit; accepted is a number with a unit, such as '1 GB/s'"),
        ("10", "OP/s", "'10' has no unit; accepted is a number with a unit, such as '10 GFLOPS'"),
        ("1", "s", "'1' has no unit; accepted is a number with a unit, such as '2 ms'"),
        ("1 gb/s", "B/s", "'1 gb/s' has unit 'gb/s'; did you mean 'GB/s'? known: B/s, GB/s, GiB/s"),
        ("1 kib", "B", "'1 kib' has unit 'kib'; did you mean 'KiB'? known: B, GB, GiB, KiB, MB, MiB, PB, TB, TiB, kB"),
        ("1 TFLOP", "OP/s", "'1 TFLOP' has unit 'TFLOP'; did you mean 'TFLOP"),
        ("1 GB", "B/s", "'1 GB' has unit 'GB'; did you mean"),
        ("1 GB/s", "B", "'1 GB/s' has unit 'GB/s'; did you mean 'GB'"),
        ("1 GMAC", "OP/s", "has unit 'GMAC'; did you mean 'GMAC/s'"),
        ("1 furlong", "s", "'1 furlong' has unit 'furlong'; known: ms, ns, s, us"),
        ("inf parsec", "B", "'inf parsec' has unit 'parsec'; known: B, GB"),
        ("1.5 B", "B", "'1.5 B' is not a whole number of bytes"),
        ("0.0001 kB", "B", "'0.0001 kB' is not a whole number of bytes"),
        ("0.3 KiB", "B", "'0.3 KiB' is not a whole number of bytes"),
        ("", "B", "'' is not a quantity; accepted is a number with a unit, such as '1 MB'"),
        ("MB", "B", "'MB' is not a quantity"),
        ("nan B", "B", "'nan B' is not a quantity"),
        ("-.5 kB", "B", "'-.5 kB' is not a quantity"),
        ("one MB", "B", "'one MB' is not a quantity"),
        ("1 000 B", "B", "'1 000 B' is not a quantity"),
        ("1_000 B", "B", "has unit '_000 B'"),
        ("1,5 kB", "B", "has unit ',5 kB'"),
        ("\u0663 MB", "B", "is not a quantity"),  # a digit, but not of ours
    ],
)
def test_what_is_no_quantity_is_refused(text, unit, problem):
    with pytest.raises(CostModelError) as error:
        parse(text, unit)
    assert problem in str(error.value)


@pytest.mark.parametrize(
    "text", ["1e999999999 B", "1e-999999999 B", "9" * 1_000_000 + " B", "0." + "0" * 1_000_000 + "1 GB", "1e100 B"]
)
def test_a_huge_number_is_refused_at_once(text):
    start = time.process_time()
    with pytest.raises(CostModelError):
        parse(text, "B")
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (0, "B", "0 B"),
        (999, "B", "999 B"),
        (1_000, "B", "1 kB"),
        (6_422_528, "B", "6.422528 MB"),
        (123_456_789_012_345_678, "B", "123.456789012345678 PB"),
        (-1_500, "B", "-1.5 kB"),
        (1e9, "B/s", "1 GB/s"),
        (25.6e9, "B/s", "25.6 GB/s"),
        (0.5, "B/s", "0.5 B/s"),
        (1e10, "OP/s", "10 GFLOPS"),
        (100.0, "OP/s", "100 FLOPS"),
        (75.5, "s", "75.5 s"),
        (5_000.0, "s", "5000 s"),
        (0.002, "s", "2 ms"),
        (5e-9, "s", "5 ns"),
        (math.inf, "B", "inf"),
        (-math.inf, "B/s", "-inf"),
    ],
)
def test_number_to_exact_text(number, unit, text):
    assert exact(number, unit) == text


@thorough
@given(size=st.integers(-(10**30), 10**30))
@example(size=2**53 + 1)
def test_sizes_go_there_and_back(size):
    back = parse(exact(size, "B"), "B")
    assert back == size
    assert type(back) is int


@thorough
@given(
    rate=st.floats(1e-12, 1e40) | st.floats(-1e40, -1e-12) | st.integers(0, 2**53).map(float),
    unit=st.sampled_from(["B/s", "OP/s", "s"]),
)
@example(rate=0.1 + 0.2, unit="B/s")
def test_rates_and_times_go_there_and_back(rate, unit):
    assert parse(exact(rate, unit), unit) == rate


@thorough
@given(digits=st.integers(1, 9_999_999_999_999_999), exponent=st.integers(-99, 80))
def test_what_was_read_from_text_goes_there_and_back(digits, exponent):
    rate = parse(f"{digits}e{exponent} GB/s", "B/s")
    assert parse(exact(rate, "B/s"), "B/s") == rate


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (0, "B", "0 B"),
        (0.0, "s", "0 s"),
        (5, "B", "5 B"),
        (999, "B", "999 B"),
        (5.0, "B", "5.000 B"),
        (0.25, "B/s", "0.25 B/s"),
        (1_000, "B", "1.000 kB"),
        (1_234, "B", "1.234 kB"),
        (12_345, "B", "12.35 kB"),
        (123_456, "B", "123.5 kB"),
        (6_422_528, "B", "6.423 MB"),
        (2_431_192, "", "2.431 M"),
        (7, "", "7"),
        (999_949, "", "999.9 k"),
        (999_960, "", "1.000 M"),  # 999.96 k rounds to 1000, which belongs to the next prefix
        (999.96, "B", "1.000 kB"),
        (999_999_999, "B", "1.000 GB"),
        (-999_960, "", "-1.000 M"),
        (-6_422_528, "B", "-6.423 MB"),
        (1e9, "B/s", "1.000 GB/s"),
        (1e12, "OP/s", "1.000 TOP/s"),
        (2e18, "B", "2000 PB"),
        (1.0, "s", "1.000 s"),
        (75.5, "s", "75.50 s"),
        (0.0065123, "s", "6.512 ms"),
        (86.7e-6, "s", "86.70 us"),
        (512e-9, "s", "512.0 ns"),
        (9.9996e-4, "s", "1.000 ms"),
        (0.99996, "s", "1.000 s"),
        (1e-10, "s", "0.1000 ns"),
        (math.inf, "B", "inf"),
        (-math.inf, "s", "-inf"),
    ],
)
def test_number_to_text_for_people(number, unit, text):
    assert human(number, unit) == text


@thorough
@given(value=st.integers(1, 10**18 - 10**15) | st.floats(1, 9.9e17))
def test_people_read_four_digits_below_a_thousand(value):
    number, _, prefix = human(value).partition(" ")
    scale = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}[prefix]
    assert 1 <= float(number) < 1000
    assert len(number.replace(".", "")) == 4 or (type(value) is int and value < 1000 and number == str(value))
    assert abs(float(number) * scale - value) <= 0.000501 * value


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit])
@pytest.mark.parametrize("infinite", [True, False])
def test_the_pattern_of_a_unit_accepts_what_is_read(unit, infinite):
    accepted = re.compile(pattern(unit, infinite=infinite))
    own = [name for name in UNITS[unit] if name]
    others = {name for names in UNITS.values() for name in names if name} - set(own)
    for text in [
        f"{number}{space}{name}" for number in ("1", "20.0", "3e2", "+4") for space in (" ", "") for name in own
    ]:
        assert accepted.search(text), text
        assert parse(text, unit) > 0
    for text in ["", "1", "one MB", *[f"1 {name}" for name in others]]:
        assert not accepted.search(text), text
        with pytest.raises(CostModelError):
            parse(text, unit)
    assert not accepted.search(f"-1 {own[0]}")
    assert [bool(accepted.search(text)) for text in ("inf", f"inf {own[0]}")] == [infinite, infinite]
