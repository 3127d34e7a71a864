"""Dashboards and alerts: what operators see of the proxy in Prometheus and Grafana."""
