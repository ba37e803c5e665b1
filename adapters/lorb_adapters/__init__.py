"""The model, the adapters and the adapter store, shared by trainer and server. Never imports grpc."""
