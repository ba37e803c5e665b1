"""The gRPC services, authentication and limits of callers, and the mapping of errors to statuses."""
