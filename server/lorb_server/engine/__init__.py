"""The model thread, its queue, and the adapters' weights on the device."""
