"""The consuming processes: what arrives on a queue becomes stock, projections or a parked dead letter."""
