"""The model thread, its queue, and the adapters on the device."""
