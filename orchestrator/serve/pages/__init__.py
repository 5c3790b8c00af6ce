"""Pages, metrics, health and the access log: what people see of a server."""
