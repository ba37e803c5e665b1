"""The workers and their queue, and the adapters' weights on the device."""
