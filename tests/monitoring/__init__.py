"""What Prometheus and Grafana are told: rules, dashboards, and a real run that both have something to show of."""
