"""Flags of the commands that read N-best lists."""

import argparse
from dataclasses import fields
from pathlib import Path

from lorb.formats.options import FormatOptions
from lorb.formats.reading import AUTO, FORMATS


def add_format_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --format, --reference-text and the flags of single formats."""
    # with SUPPRESS, argparse sets no value for a flag that is not given: the defaults of FormatOptions apply
    formats = parser.add_argument_group("format of the lists", argument_default=argparse.SUPPRESS)
    formats.add_argument(
        "--format",
        choices=FORMATS,
        default=AUTO,
        metavar="NAME",
        help=f"format of all files: {', '.join(FORMATS)}; auto detects the format of each file (default: auto)",
    )
    formats.add_argument(
        "--reference-text",
        dest="reference_texts",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="files of reference transcripts, Kaldi or ESPnet text or trn; these replace the references in the lists",
    )
    _add_toolkit_arguments(formats)


def _add_toolkit_arguments(formats: "argparse._ActionsContainer") -> None:
    formats.add_argument(
        "--acoustic-scale",
        type=float,
        metavar="X",
        help="Kaldi: the --acoustic-scale of lattice-to-nbest; required if the folder has costs",
    )
    formats.add_argument(
        "--kaldi-acoustic-costs",
        dest="acoustic_costs",
        metavar="NAME",
        help="Kaldi: file of acoustic costs, beside words_text (default: acwt)",
    )
    formats.add_argument(
        "--kaldi-graph-costs",
        dest="graph_costs",
        metavar="NAME",
        help="Kaldi: file of graph costs with language model costs, beside words_text (default: lmwt.withlm)",
    )
    formats.add_argument(
        "--nemo-manifest",
        type=Path,
        metavar="FILE",
        help="NeMo: manifest of the beams, for a single file of beams (default: NAME.json beside each NAME.tsv)",
    )
    formats.add_argument(
        "--nemo-beam-size",
        type=int,
        metavar="N",
        help="NeMo: number of beams of each manifest entry (default: N in the file name preds_out_widthN_...)",
    )
    formats.add_argument(
        "--srilm-lm-weight",
        type=float,
        metavar="X",
        help="SRILM: language model weight, as in -rescore-lmw (default: 8)",
    )
    formats.add_argument(
        "--srilm-word-weight",
        type=float,
        metavar="X",
        help="SRILM: word transition weight in log10, as in -rescore-wtw (default: 0)",
    )


def format_options(arguments: argparse.Namespace) -> FormatOptions:
    """Reads the options from parsed flags. Raises InvalidInput if a value is out of range."""
    names = {field.name for field in fields(FormatOptions)}
    options = {name: value for name, value in vars(arguments).items() if name in names}
    return FormatOptions(**options | {"reference_texts": tuple(options.get("reference_texts", ()))})
