"""The model thread: queue, batches, adapters on the device."""
