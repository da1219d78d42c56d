"""Exact statistics for small cohorts: one module a family of methods, pure functions on arrays."""
