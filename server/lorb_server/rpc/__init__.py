"""gRPC: services, access control, errors."""
