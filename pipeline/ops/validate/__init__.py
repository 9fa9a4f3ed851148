"""What the pipeline would say of inputs, without a server."""
