"""lorb.formats.options and lorb_cli.nbest_arguments: reader options and their flags."""

import argparse
from pathlib import Path

import pytest

from lorb.errors import InvalidInput
from lorb.formats import FormatOptions
from lorb_cli.nbest_arguments import add_format_arguments, format_options


def parsed(*flags):
    """Returns the format and the options of a command line."""
    parser = argparse.ArgumentParser()
    add_format_arguments(parser)
    arguments = parser.parse_args(flags)
    return arguments.format, format_options(arguments)


def test_without_flags_everything_is_the_default():
    """A command line without flags gives the defaults of FormatOptions."""
    assert parsed() == ("auto", FormatOptions())


def test_every_flag_reaches_its_option():
    """Each flag sets its option."""
    flags = (
        "--format kaldi --reference-text a b --acoustic-scale 0.1 --kaldi-acoustic-costs ac --kaldi-graph-costs lm "
        "--nemo-manifest m.json --nemo-beam-size 4 --srilm-lm-weight 9 --srilm-word-weight -0.5"
    )
    expected = FormatOptions((Path("a"), Path("b")), 0.1, "ac", "lm", Path("m.json"), 4, 9.0, -0.5)
    assert parsed(*flags.split()) == ("kaldi", expected)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("acoustic_scale", 0.0),
        ("acoustic_scale", float("nan")),
        ("srilm_lm_weight", -1.0),
        ("srilm_word_weight", float("inf")),
        ("nemo_beam_size", 0),
    ],
)
def test_a_number_out_of_range_is_refused(field, value):
    """An option out of range is refused, and the message names it."""
    with pytest.raises(InvalidInput) as caught:
        FormatOptions(**{field: value})
    assert caught.value.field == field
    assert caught.value.message.startswith(f"{field} is ")
