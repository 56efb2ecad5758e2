"""What the bytes mean: one folder a protocol, none of which knows another, and what all of them share."""
