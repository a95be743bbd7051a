"""What Kubernetes is given: rendered, held to schemas and rules, and played."""
