"""Control by schedulers: what they and nodes say to each other, over gRPC, and the scheduler itself."""
