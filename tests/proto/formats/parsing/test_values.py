"""lorb.formats.parsing.values: numbers as tools print them."""

from pathlib import Path

import pytest

from lorb.formats import Notices
from lorb.formats.parsing.values import parse_score
from support.lists.formats_as_written import refusal


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("-12.3", -12.3),
        (" 5 ", 5.0),
        ("1e-3", 0.001),
        ("-.5", -0.5),
        ("7.", 7.0),
        ("tensor(-12.3000)", -12.3),
        ("tensor(-12.3000, device='cuda:0')", -12.3),
        ("tensor(-1.2300e+02, device='cuda:0', dtype=torch.float64)", -123.0),
        ("tensor(-12.3000, grad_fn=<AddBackward0>)", -12.3),
        ("tensor([-12.3000])", -12.3),
    ],
)
def test_plain_numbers_and_tensors_are_read(text, number):
    """Numbers as printed by Python and PyTorch are parsed."""
    assert parse_score(text, Path("score"), 1, Notices()) == number


def test_tensors_are_counted():
    """Scores printed as tensors, which lose digits, are counted in the notices."""
    notices = Notices()
    for text in ("tensor(-1.0)", "-1.0", "tensor(-2.0)"):
        parse_score(text, Path("score"), 1, notices)
    assert notices.lines() == ["2 scores parsed from tensor(...), which has four decimals"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "nan",
        "inf",
        "-inf",
        "1_000",
        "0x1",
        "٣",
        "tensor(",
        "tensor(nan)",
        "-1.0, device='cpu')",
        "1 2",
        "1e999",
    ],
)
def test_everything_else_is_refused_with_its_place(text):
    """Text that is not a finite number is refused with file and line."""
    error = refusal(lambda: parse_score(text, Path("score"), 7, Notices()))
    assert error.message.startswith("score:7: ")
