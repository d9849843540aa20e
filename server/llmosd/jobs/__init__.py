"""Long work in processes of its own: each job a plain function, run by `worker`."""
