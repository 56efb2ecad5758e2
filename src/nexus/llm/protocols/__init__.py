"""What the bytes mean: one folder a protocol, and the surgery on top-level fields that all of them share."""
