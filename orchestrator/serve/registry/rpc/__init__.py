"""The registry by gRPC: the calls of `proto/registry.proto`."""
