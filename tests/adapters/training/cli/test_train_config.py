"""The flags of lorb-train-adapter as a TrainConfig."""

import pytest

from lorb.errors import InvalidInput
from lorb_adapters.lora.config import ALL_LINEAR
from lorb_adapters.training.cli.arguments import parser
from lorb_adapters.training.cli.train_config import layer_numbers, train_config
from lorb_adapters.training.config import LEARNING_RATES, TrainConfig

REQUIRED = ["--domain", "books", "--train", "train.jsonl", "--dev", "dev.jsonl"]


def config_of(*flags):
    return train_config(parser().parse_args([*REQUIRED, *flags]))


def test_the_default_flags_give_the_default_configuration():
    """The command line's defaults are TrainConfig's own."""
    assert config_of() == TrainConfig()


@pytest.mark.parametrize(
    ("targets", "modules"),
    [
        (["attention"], ("query", "key", "value", "attention.output.dense")),
        (["feed-forward"], ("intermediate.dense", "output.dense")),
        (["query", "value"], ("query", "value")),
        (["attention", "feed-forward"], ALL_LINEAR),
        (["feed-forward", "query", "dense"], ("query", "dense")),
    ],
)
def test_target_groups_stand_for_their_modules(targets, modules):
    """A group stands for its modules; with both groups, or "dense", the short names of peft are used."""
    assert config_of("--targets", *targets).lora.target_modules == modules


def test_alpha_is_twice_the_rank_unless_it_is_given():
    """Alpha is twice the rank by default; 0 is refused, not replaced by the default."""
    assert config_of("--rank", "3").lora.alpha == 6
    assert config_of("--rank", "3", "--alpha", "1").lora.alpha == 1
    with pytest.raises(InvalidInput, match=r"alpha is 0\.0"):
        config_of("--alpha", "0")


@pytest.mark.parametrize("method", LEARNING_RATES)
def test_every_method_has_its_learning_rate(method):
    """Each method has a default rate, which --help shows and --learning-rate replaces."""
    assert config_of("--method", method).learning_rate == LEARNING_RATES[method]
    assert config_of("--method", method, "--learning-rate", "0.5").learning_rate == 0.5
    text = " ".join(parser().format_help().split())
    defaults = {}
    for clause in text.partition("peak learning rate (default: ")[2].partition(")")[0].split("; "):
        rate, _, methods = clause.partition(" for ")
        defaults |= dict.fromkeys(methods.replace(" and ", ", ").split(", "), float(rate))
    assert defaults[method] == LEARNING_RATES[method]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("", None), ("3", (3,)), ("9-11", (9, 10, 11)), ("5,0", (0, 5)), ("1-2, 2-3", (1, 2, 3)), ("0", (0,))],
)
def test_layers_are_numbers_and_ranges(text, numbers):
    """Numbers and ranges give ascending numbers without repetition."""
    assert layer_numbers(text) == numbers


@pytest.mark.parametrize("text", ["x", "1-", "-1", "3-1", "1,,2", "1-2-3", "1.5"])
def test_other_texts_are_refused_as_layers(text):
    """A text that is not a list of ranges is an error that names layers."""
    with pytest.raises(InvalidInput, match="layers is"):
        layer_numbers(text)
