"""lorb.errors: one class tree, and messages that name the place."""

import pytest

from lorb import errors
from lorb.errors import InvalidInput, LorbError, MalformedFile


def descendants(kind):
    """Returns all subclasses of `kind`, at any depth."""
    return {each for child in kind.__subclasses__() for each in {child} | descendants(child)}


def test_every_error_of_the_module_is_a_lorb_error():
    """All exceptions of the module derive from LorbError."""
    defined = {v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, Exception)}
    assert defined == {LorbError} | {kind for kind in descendants(LorbError) if kind.__module__ == "lorb.errors"}


def test_the_tree_in_the_docstring_names_every_error():
    """The tree in the module's docstring is complete."""
    drawn = {word for word in errors.__doc__.split() if word[0].isupper()}
    assert {kind.__name__ for kind in descendants(LorbError) if kind.__module__ == "lorb.errors"} <= drawn


def test_a_malformed_file_reads_path_line_message():
    """The message of MalformedFile begins with "path:line"."""
    error = MalformedFile("lists.jsonl", 7, "not JSON")
    assert (error.message, error.field, error.line) == ("lists.jsonl:7: not JSON", "lists.jsonl:7", 7)


def test_line_0_means_the_file_as_a_whole():
    """With line 0 the message begins with the path alone."""
    assert str(MalformedFile("lists.jsonl", 0, "cannot be read")) == "lists.jsonl: cannot be read"


def test_the_field_is_optional():
    """An error without field has an empty one."""
    with pytest.raises(InvalidInput) as caught:
        raise InvalidInput("too much")
    assert (caught.value.field, str(caught.value)) == ("", "too much")
