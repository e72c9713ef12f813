"""What the benchmarks are made of: how rows are measured, judged and shown. `rows` has the rows themselves."""
