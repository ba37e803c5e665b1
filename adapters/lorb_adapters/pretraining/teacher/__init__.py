"""The masked-LM teacher and how well it scores."""
