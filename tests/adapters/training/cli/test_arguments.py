"""The command line's flags: what they make of a configuration, and what --help says."""

import pytest

from lorb.errors import InvalidInput
from lorb_adapters.lora.weights import ALL_LINEAR
from lorb_adapters.training.cli.arguments import parser
from lorb_adapters.training.cli.train_config import layer_numbers, train_config
from lorb_adapters.training.config import LEARNING_RATES, TrainConfig

REQUIRED = ["--domain", "books", "--train", "train.jsonl", "--dev", "dev.jsonl"]


def config_of(*flags):
    return train_config(parser().parse_args([*REQUIRED, *flags]))


def test_without_flags_it_is_the_default_configuration():
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
def test_halves_of_a_block_are_its_linear_layers(targets, modules):
    """A half stands for its layers; both halves, or "dense" with one, are named as peft would name them."""
    assert config_of("--targets", *targets).lora.target_modules == modules


def test_alpha_is_twice_the_rank_unless_it_is_given():
    """One that is given is taken as it is, and 0 is refused, not replaced."""
    assert config_of("--rank", "3").lora.alpha == 6
    assert config_of("--rank", "3", "--alpha", "1").lora.alpha == 1
    with pytest.raises(InvalidInput, match=r"alpha is 0\.0"):
        config_of("--alpha", "0")


@pytest.mark.parametrize("method", LEARNING_RATES)
def test_every_method_has_its_learning_rate(method):
    """One that is given comes first; the help names the one that is not."""
    assert config_of("--method", method).learning_rate == LEARNING_RATES[method]
    assert config_of("--method", method, "--learning-rate", "0.5").learning_rate == 0.5
    told = " ".join(parser().format_help().split())
    assert f"{LEARNING_RATES[method]:g}" in told.partition("what suits the method:")[2].partition(")")[0]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("", None), ("3", (3,)), ("9-11", (9, 10, 11)), ("5,0", (0, 5)), ("1-2, 2-3", (1, 2, 3)), ("0", (0,))],
)
def test_layers_are_numbers_and_ranges(text, numbers):
    """Ascending, each once."""
    assert layer_numbers(text) == numbers


@pytest.mark.parametrize("text", ["x", "1-", "-1", "3-1", "1,,2", "1-2-3", "1.5"])
def test_what_is_no_range_is_refused(text):
    """The text is named."""
    with pytest.raises(InvalidInput, match="layers is"):
        layer_numbers(text)


def test_help_says_nothing_of_nothing():
    """Defaults are told where they are values: no "None", "False" or empty one, and the per cent sign once."""
    told = parser().format_help()
    assert not any(f"(default: {nothing})" in told for nothing in ("None", "False", "", "[]"))
    assert "(default: auto)" in told
    assert "%%" not in told
