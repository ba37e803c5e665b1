"""The flags of lorb-train-adapter: the help text."""

from lorb_adapters.training.cli.arguments import parser


def test_help_shows_no_empty_defaults():
    """Defaults are shown if they are values, never "None", "False" or empty, and % is not doubled."""
    text = parser().format_help()
    assert not any(f"(default: {empty})" in text for empty in ("None", "False", "", "[]"))
    assert "(default: auto)" in text
    assert "%%" not in text
