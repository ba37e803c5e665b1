"""The gRPC services, the authentication and quotas of callers, and the mapping of errors to statuses."""
