"""How the work grows with cells, jobs and nodes: see docs/scale.md."""
