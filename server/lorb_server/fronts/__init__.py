"""Several processes that take gRPC calls before one that owns the model.

The engine process has the base, the adapters, the queue, the admin service and the metrics. A front decodes, validates,
tokenises, ranks and encodes, on the same port as its siblings (SO_REUSEPORT). Each has a socket pair to the engine
process, made before it was started: nothing else can reach it, and it lasts as long as both. What goes over it is in
`frames`.
"""
