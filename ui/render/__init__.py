"""HTML of the screens, from what the service says; no state, no store."""
