"""The flags of every command that reads N-best lists."""

import argparse
from dataclasses import fields
from pathlib import Path

from lorb.formats.options import FormatOptions
from lorb.formats.reading import AUTO, FORMATS


def add_format_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --format and what some formats need besides."""
    # SUPPRESS: FormatOptions alone has the defaults
    formats = parser.add_argument_group("format of the lists", argument_default=argparse.SUPPRESS)
    formats.add_argument(
        "--format",
        choices=FORMATS,
        default=AUTO,
        metavar="NAME",
        help=f"of all files: {', '.join(FORMATS)}; auto tells it from each one's beginning",
    )
    formats.add_argument(
        "--reference-text",
        dest="reference_texts",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="what was said, by utterance: Kaldi's and ESPnet's text, or trn; replaces the lists' own references",
    )
    formats.add_argument(
        "--acoustic-scale",
        type=float,
        metavar="X",
        help="Kaldi: as lattice-to-nbest had it; needed where there are costs",
    )
    formats.add_argument(
        "--kaldi-acoustic-costs",
        dest="acoustic_costs",
        metavar="NAME",
        help="Kaldi: file beside the words that holds the acoustic costs (acwt)",
    )
    formats.add_argument(
        "--kaldi-graph-costs",
        dest="graph_costs",
        metavar="NAME",
        help="Kaldi: file beside the words that holds the graph costs with the language model's (lmwt.withlm)",
    )
    formats.add_argument(
        "--nemo-manifest",
        type=Path,
        metavar="FILE",
        help="NeMo: the manifest of the beams, for one file of beams; otherwise NAME.json beside each NAME.tsv",
    )
    formats.add_argument(
        "--nemo-beam-size",
        type=int,
        metavar="N",
        help="NeMo: beams of each manifest entry (the N of preds_out_widthN_..., NeMo's names)",
    )
    formats.add_argument(
        "--srilm-lm-weight",
        type=float,
        metavar="X",
        help="SRILM: weight of the language model, as -rescore-lmw (8)",
    )
    formats.add_argument(
        "--srilm-word-weight",
        type=float,
        metavar="X",
        help="SRILM: log10 weight of each word, as -rescore-wtw (0)",
    )


def format_options(arguments: argparse.Namespace) -> FormatOptions:
    """What the flags say. Raises InvalidInput."""
    names = {field.name for field in fields(FormatOptions)}
    given = {name: value for name, value in vars(arguments).items() if name in names}
    return FormatOptions(**given | {"reference_texts": tuple(given.get("reference_texts", ()))})
