"""The wire: the only server code that knows gRPC and the stubs."""
