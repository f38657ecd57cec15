"""Content processing as operators see it: the queue, the pools, what stands still and why."""
