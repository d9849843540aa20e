"""Wire types and stubs of the llmos.v1 API, generated from the .proto files beside them."""
