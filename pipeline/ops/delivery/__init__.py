"""How far the services are that consume what the pipeline publishes."""
