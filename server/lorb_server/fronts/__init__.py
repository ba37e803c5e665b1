"""Front processes, which take gRPC calls for the engine process, which owns the model.

The engine process holds the base, the adapters, the queue, the admin service and the metrics. A front decodes,
validates, tokenises, ranks and encodes. All fronts listen on one port (SO_REUSEPORT). The engine process creates a
socket pair for each front before the front starts, so that no other process can connect. `frames` defines the messages
on the sockets.
"""
