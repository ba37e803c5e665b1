"""The masked-LM teacher, and the agreement between teacher and student."""
