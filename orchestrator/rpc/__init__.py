"""gRPC: servers with TLS, health and reflection, who is let in and how often, and errors as status codes."""
