"""The gRPC services, who may call them, and how errors become statuses."""
