"""The one entrance in front of many instances: one plan, rendered for Kong and for Envoy."""
