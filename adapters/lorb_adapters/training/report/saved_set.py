"""A set's figures in a report.json, read back."""

from dataclasses import dataclass

from lorb_adapters.json_fields import JsonFields
from lorb_adapters.training.evaluation.set_detail import Depth, Example, LengthRange, PosteriorRange, SetDetail


@dataclass(frozen=True, slots=True)
class SetFigures:
    """One set: counts, rates in per cent, and the 95% interval of the change from the first pass.

    Attributes:
        matched_pairs: Z and p of MAPSSWE; None where it has none.
        without_margin: rate, lists fixed and lists broken without the switching margin; None where none was tuned.
    """

    utterances: int
    words: int
    first_pass_wer: float
    rescored_wer: float
    oracle_wer: float
    relative_gain_percent: float
    recovered_gap_percent: float
    lists_fixed: int
    lists_broken: int
    low: float
    high: float
    probability_of_improvement: float
    matched_pairs: tuple[float, float] | None
    without_margin: tuple[float, int, int] | None
    detail: SetDetail


def set_figures(fields: JsonFields) -> SetFigures:
    """Reads a set's object of a report; raises what `fields` do."""
    ends = fields.number_list("wer_change_interval_95")
    if len(ends) != 2:
        fields.fail("wer_change_interval_95", "is not two numbers")
    return SetFigures(
        utterances=fields.integer("utterances"),
        words=fields.integer("words"),
        first_pass_wer=fields.number("first_pass_wer"),
        rescored_wer=fields.number("rescored_wer"),
        oracle_wer=fields.number("oracle_wer"),
        relative_gain_percent=fields.number("relative_gain_percent"),
        recovered_gap_percent=fields.number("recovered_gap_percent"),
        lists_fixed=fields.integer("lists_fixed"),
        lists_broken=fields.integer("lists_broken"),
        low=ends[0],
        high=ends[1],
        probability_of_improvement=fields.number("probability_of_improvement"),
        matched_pairs=_matched_pairs(fields),
        without_margin=_without_margin(fields),
        detail=_detail(fields),
    )


def _matched_pairs(fields: JsonFields) -> tuple[float, float] | None:
    if fields.mapping().get("mapsswe") is None:
        return None
    pairs = fields.fields("mapsswe")
    return pairs.number("z"), pairs.number("p")


def _without_margin(fields: JsonFields) -> tuple[float, int, int] | None:
    if fields.mapping().get("without_switching_margin") is None:
        return None
    without = fields.fields("without_switching_margin")
    return without.number("rescored_wer"), without.integer("lists_fixed"), without.integer("lists_broken")


def _detail(fields: JsonFields) -> SetDetail:
    return SetDetail(
        by_length=tuple(
            LengthRange(
                each.integer("first_words"),
                None if each.optional_number("last_words") is None else each.integer("last_words"),
                each.integer("utterances"),
                each.integer("words"),
                each.integer("first_pass_errors"),
                each.integer("rescored_errors"),
                each.integer("oracle_errors"),
            )
            for each in fields.field_list("by_length")
        ),
        by_depth=tuple(
            Depth(each.integer("hypotheses"), each.integer("rescored_errors"), each.integer("oracle_errors"))
            for each in fields.field_list("by_depth")
        ),
        by_posterior=tuple(
            PosteriorRange(
                each.number("low"),
                each.number("high"),
                each.integer("lists"),
                _share(each, "mean_posterior"),
                _share(each, "best_share"),
            )
            for each in fields.field_list("by_posterior")
        ),
        fixed=tuple(map(_example, fields.field_list("fixed"))),
        broken=tuple(map(_example, fields.field_list("broken"))),
    )


def _share(fields: JsonFields, key: str) -> float:
    share = fields.number(key)
    if not 0 <= share <= 1:
        fields.fail(key, f"is {share}, not a share from 0 to 1")
    return share


def _example(fields: JsonFields) -> Example:
    return Example(
        fields.text("id"),
        fields.text("reference"),
        fields.text("first_pass"),
        fields.integer("first_pass_errors"),
        fields.text("rescored"),
        fields.integer("rescored_errors"),
    )
