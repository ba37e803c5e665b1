"""The masked-LM teacher, and how well its student follows it."""
