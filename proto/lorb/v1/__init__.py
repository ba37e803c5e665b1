"""Protobuf code generated from the .proto files by `make proto`. A test checks that it is current."""
