"""Amounts: what is read, what is shown, and that nothing on the way is a float."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.money import (
    HOUR_US,
    MICRO,
    Price,
    format_amount,
    parse_amount,
    request_cost,
    round_amount,
    time_cost,
    token_cost,
)

ROOT = Path(__file__).parents[2]
PATH = (
    "app/domain/money.py",
    "app/domain/bill.py",
    "app/domain/chain.py",
    "app/store/ledger.py",
    "app/store/bill.py",
    "app/store/verify.py",
)
"""Every file through which an amount goes on its way into the ledger."""


@pytest.mark.parametrize("name", PATH)
def test_no_float_is_on_the_path(name: str) -> None:
    path = ROOT / name
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        assert not isinstance(node, ast.Div), "a true division"
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), "a float"
        assert not (isinstance(node, ast.Name) and node.id in ("float", "round", "Decimal")), node.id


@pytest.mark.parametrize(
    ("text", "amount"),
    [("25", 25 * MICRO), ("0.5", 500_000), ("0.000001", 1), ("1000000000", 10**15), ("0", 0), ("007.10", 7_100_000)],
)
def test_amounts_are_read(text: str, amount: int) -> None:
    assert parse_amount(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        "1,000",
        "1 000",
        "NaN",
        "inf",
        "1e3",
        "0.0000001",
        "-5",
        "+5",
        ".5",
        "5.",
        "0x10",
        "٣",
        "½",
        "1_000",
        "$5",
        "1.2.3",
        "",
        "1000000000.000001",
        "99999999999",
        " 5",
        "5\n",
    ],
)
def test_what_is_no_amount_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"amount|places|too much"):
        parse_amount(text)


@given(st.integers(0, 10**15))
def test_what_is_shown_is_read_back(amount: int) -> None:
    assert parse_amount(format_amount(amount)) == amount


@pytest.mark.parametrize(
    ("amount", "exact", "short"),
    [
        (41_200_000, "41.20", "41.20"),
        (41_209_999, "41.209999", "41.20"),
        (417, "0.000417", "0.0004"),
        (0, "0.00", "0.00"),
        (-3_000_000, "-3.00", "-3.00"),
        (-1, "-0.000001", "-0.000001"),
    ],
)
def test_amounts_are_shown(amount: int, exact: str, short: str) -> None:
    assert (format_amount(amount), round_amount(amount)) == (exact, short)


@given(st.integers(1, 10**12), st.lists(st.integers(0, 10**9), max_size=50))
def test_a_bill_in_parts_is_the_bill_of_the_whole(per_hour: int, parts: list[int]) -> None:
    carried = total = 0
    for us in parts:
        amount, carried = time_cost(per_hour, us, carried)
        total += amount
    assert total == per_hour * sum(parts) // HOUR_US


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 9999))))
def test_tokens_in_parts_are_the_tokens_of_the_whole(
    price_in: int, price_out: int, parts: list[tuple[int, int]]
) -> None:
    price = Price(token_in=price_in, token_out=price_out, basis="token")
    carried = total = 0
    for tokens in parts:
        amount, carried = token_cost(price, *tokens, carried)
        total += amount
    assert total == sum(price_in * i + price_out * o for i, o in parts) // MICRO


def test_a_request_costs_its_tokens_where_they_are_billed() -> None:
    assert request_cost(Price(token_in=2 * MICRO, token_out=6 * MICRO, basis="token"), 31, 128) == 830
    assert request_cost(Price(hour=MICRO, token_in=2 * MICRO), 31, 128) == 0


def test_time_that_runs_backwards_is_no_bill() -> None:
    with pytest.raises(ValueError, match="cannot be billed"):
        time_cost(1, -1, 0)
