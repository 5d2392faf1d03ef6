"""A plan laid out: for a terminal, for a pull request, as a page. Pure functions of `ccx.plan.model.Plan`."""
