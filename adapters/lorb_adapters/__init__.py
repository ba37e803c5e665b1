"""The model, its adapters and their store: shared by trainer and server. Never imports grpc."""
