import pytest
from hypothesis import given
from hypothesis import strategies as st

from mergegraph.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("5GB", 5_000_000_000),
        ("700MB", 700_000_000),
        ("2GiB", 2 * 2**30),
        (" 1.5 kb ", 1500),
        ("0.1GB", 100_000_000),
        ("1TiB", 2**40),
        ("12B", 12),
        ("12", 12),
        ("1.9B", 1),
        (12, 12),
    ],
)
def test_sizes_are_decimal_unless_the_unit_says_binary(text, nbytes):
    assert parse_size(text) == nbytes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a size is a number and a unit, such as 700MB, 5GB or 2GiB"),
        ("GB", "a size is a number and a unit, such as 700MB, 5GB or 2GiB"),
        ("-5GB", "a size is a number and a unit, such as 700MB, 5GB or 2GiB"),
        ("1e3", "a size is a number and a unit, such as 700MB, 5GB or 2GiB"),
        ("٣GB", "a size is a number and a unit, such as 700MB, 5GB or 2GiB"),
        ("9" * 5000, "a size is a number and a unit, such as 700MB, 5GB or 2GiB"),
        ("5G", "the units of a size are B, KB, MB, GB, TB and PB, or KiB, MiB, GiB, TiB and PiB"),
        ("5 apples", "the units of a size are B, KB, MB, GB, TB and PB, or KiB, MiB, GiB, TiB and PiB"),
        ("0GB", "a size must be at least one byte"),
        ("0.5B", "a size must be at least one byte"),
        (0, "a size must be at least one byte"),
        (-1, "a size must be at least one byte"),
    ],
)
def test_what_is_no_size_is_refused_with_the_reason(text, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        parse_size(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (999_499, "999 KB"),
        (999_500, "1 MB"),
        (4_212_345_678, "4.21 GB"),
        (131_000_000_000, "131 GB"),
        (1_340_000_000_000, "1.34 TB"),
        (5 * 10**18, "5000 PB"),
    ],
)
def test_sizes_are_printed_to_three_digits(nbytes, text):
    assert format_size(nbytes) == text


@given(st.integers(1, 10**18))
def test_a_printed_size_reads_back_to_half_a_percent(nbytes):
    assert abs(parse_size(format_size(nbytes)) - nbytes) <= nbytes / 200
