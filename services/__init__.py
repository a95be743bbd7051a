"""One folder a service, one image each."""
