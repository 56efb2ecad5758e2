"""Outbound HTTP only: the pool of upstream connections and the framing of what comes back."""
