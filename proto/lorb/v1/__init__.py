"""Generated from the schema beside it by `make proto`; committed, and compared in a test."""
